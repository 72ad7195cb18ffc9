"""``params.yaml``: the only configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from optuna.distributions import FloatDistribution
from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Section):
    """A hyper-parameter that every method tunes, log-uniform; trial 0 takes the default."""

    low: float
    high: float
    default: float

    def distribution(self) -> FloatDistribution:
        """Return it for the tuner."""
        return FloatDistribution(self.low, self.high, log=True)


class BackboneParams(_Section):
    """The encoder and the heads that all methods share; ``options`` are the encoder's own."""

    name: str
    embedding_size: PositiveInt
    hidden: tuple[PositiveInt, ...]
    tower: tuple[PositiveInt, ...]
    dropout: float
    options: dict[str, Any] = {}


class Pretraining(_Section):
    """What every encoder learns from features alone before a method trains it.

    ``rate`` is the share of categorical fields that are masked or replaced in a row.
    """

    task: Literal["none", "masked", "replaced"] = "none"
    epochs: PositiveInt = 1
    rate: float = Field(default=0.3, gt=0, lt=1)


class Tuning(_Section):
    """The budget of the search, equal for all methods: ``trials`` in batches of ``batch``."""

    trials: PositiveInt
    batch: PositiveInt
    seed: int


class Protocol(_Section):
    """How every method is trained, tuned and run.

    Embedding tables of at least ``row_sparse_from`` rows are trained only in the rows of a batch.
    """

    backbone: BackboneParams
    pretraining: Pretraining = Pretraining()
    batch_size: PositiveInt
    max_epochs: PositiveInt
    patience: PositiveInt
    selection_metric: str
    learning_rate: Range
    weight_decay: Range
    row_sparse_from: PositiveInt = 200_000
    tuning: Tuning
    seeds: tuple[int, ...]
    device: str


class Params(_Section):
    """The whole file."""

    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    options: dict[str, dict[str, Any]]
    protocol: Protocol
    leaderboard: Leaderboard

    @classmethod
    def read(cls, path: Path = Path("params.yaml")) -> Params:
        """Read and check the file.

        Raises:
            FileNotFoundError: not in the project root.
            pydantic.ValidationError: a key is missing, unknown or of the wrong kind.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path} not found; run this from the project root")
        return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


class Leaderboard(_Section):
    """What the tables show: the first defined headline metric sorts a dataset's table."""

    headline: tuple[str, ...]
    columns: tuple[str, ...]
    confidence: float


Params.model_rebuild()
