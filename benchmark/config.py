"""``params.yaml``: the only configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from optuna.distributions import FloatDistribution
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, field_validator

from benchmark import registry

DEVICES = ("auto", "cpu", "cuda")


class Section(BaseModel):
    """A part of the file: no unknown keys, no changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(Section):
    """A hyper-parameter that every method tunes, log-uniform; trial 0 takes the default."""

    low: float
    high: float
    default: float

    def distribution(self) -> FloatDistribution:
        """Return it for the tuner."""
        return FloatDistribution(self.low, self.high, log=True)


class BackboneParams(Section):
    """The encoder and the heads that all methods share; ``options`` are the encoder's own."""

    name: str
    embedding_size: PositiveInt
    hidden: tuple[PositiveInt, ...]
    tower: tuple[PositiveInt, ...]
    dropout: float
    options: dict[str, Any] = {}


class Pretraining(Section):
    """What every encoder learns from features alone before a method trains it.

    ``rate`` is the share of categorical fields that are masked or replaced in a row.
    """

    task: Literal["none", "masked", "replaced"] = "none"
    epochs: PositiveInt = 1
    rate: float = Field(default=0.3, gt=0, lt=1)


class Tuning(Section):
    """The budget of the search, equal for all methods: ``trials`` in batches of ``batch``.

    A trial is trained on ``draws`` tuning draws, which no table ever reports, and has the mean of
    their values. Without trials, every method has its defaults. More trials begin with the same
    ones: ``trials`` may be raised without losing finished work.
    """

    trials: NonNegativeInt
    batch: PositiveInt
    seed: int
    draws: PositiveInt = 1


class Protocol(Section):
    """How every method is trained, tuned and run.

    ``defaults`` stand in for the published ones, by hyper-parameter. ``kept_epoch`` "last" trains
    for ``max_epochs`` without early stopping, as many papers do.
    Embedding tables of at least ``row_sparse_from`` rows are trained only in the rows of a batch.
    With ``vectorized_trials``, the trials of a batch, and the replicates of a fixed dataset, are
    trained in one vectorised step where a method allows it: equal up to rounding, and faster where
    calls cost more than arithmetic.
    """

    backbone: BackboneParams
    pretraining: Pretraining = Pretraining()
    batch_size: PositiveInt
    max_epochs: PositiveInt
    patience: PositiveInt
    kept_epoch: Literal["best", "last"] = "best"
    selection_metric: str
    learning_rate: Range
    weight_decay: Range
    row_sparse_from: PositiveInt = 200_000
    vectorized_trials: bool = False
    defaults: dict[str, Any] = {}
    tuning: Tuning
    device: str

    @property
    def identity(self) -> dict[str, Any]:
        """What of the protocol can change the number of a fit: all but the budget and the device.

        The device that does the work is part of a result's key by its name.
        """
        return self.model_dump(mode="json", exclude={"device": True, "tuning": {"trials"}})

    @field_validator("device")
    @classmethod
    def _known(cls, device: str) -> str:
        if device not in DEVICES:
            raise ValueError(
                f"no device {device!r}: it is {', '.join(DEVICES[:-1])} or {DEVICES[-1]}, and "
                "CUDA_VISIBLE_DEVICES tells which GPUs there are, of which each worker sees one"
            )
        return device


class Launch(Section):
    """Where ``python -m benchmark run`` runs: no number depends on it.

    ``workers`` is how many trainings run at a time: by default as many as there are cores, or GPUs
    if they do the work; on a cluster, 100. ``options`` are those of the cluster's jobs.
    """

    on: Literal["local", "slurm", "ray"] = "local"
    workers: PositiveInt | None = None
    options: dict[str, Any] = {}


class Params(Section):
    """The whole file: settings × replicates × methods, how they are trained, and what is reported.

    Every method is trained on ``replicates`` replicates of every setting, numbered from 0. A
    replicate of a simulated setting is a fresh draw of its world and of the initial weights; of a
    real dataset, of the weights on its fixed split. ``methods: all`` means every file in methods/.
    """

    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    options: dict[str, dict[str, Any]]
    replicates: PositiveInt
    protocol: Protocol
    leaderboard: Leaderboard
    launch: Launch = Launch()

    @property
    def trials(self) -> int:
        """How many trials a search has."""
        return self.protocol.tuning.trials

    @field_validator("methods", mode="before")
    @classmethod
    def _all(cls, methods: object) -> object:
        return tuple(registry.names("methods")) if methods == "all" else methods

    @classmethod
    def read(cls, path: Path = Path("params.yaml"), *changes: Path) -> Self:
        """Read and check the file, with what further files change in it.

        Raises:
            FileNotFoundError: not in the project root.
            ValueError: a file is no YAML, or holds no keys.
            pydantic.ValidationError: a key is missing, unknown or of the wrong kind.
        """
        content: dict[str, Any] = {}
        for file in (path, *changes):
            if not file.is_file():
                raise FileNotFoundError(f"{file} not found; run this from the project root")
            content = _changed(content, _mapping(file))
        return cls.model_validate(content)


def _mapping(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise ValueError(f"{file} is no YAML: {where}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} holds no keys, as in 'launch: {{workers: 8}}'")
    return found


def _changed(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return the content with the changes, which reach into its sections."""
    new = dict(content)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(content.get(key), dict)
        new[key] = _changed(content[key], value) if both else value
    return new


class Leaderboard(Section):
    """What the tables show: the first defined headline metric sorts a dataset's table."""

    headline: tuple[str, ...]
    columns: tuple[str, ...]
    confidence: float


Params.model_rebuild()
