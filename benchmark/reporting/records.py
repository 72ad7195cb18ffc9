"""The run records as they lie in ``results/runs``, and whether each may enter a table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.config import Params, Protocol
from benchmark.reporting.metric import Array
from benchmark.schema import Schema


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Fit(_Record):
    """One training: a trial, or a seed, which alone has ``test``. A diverged one has no more."""

    hyperparameters: dict[str, Any]
    seed: int
    data: str = ""
    value: float | None
    diverged: str | None = None
    history: tuple[float, ...] = ()
    best_epoch: int | None = None
    seconds: float = 0.0
    sample_gradients: int = 0
    parameters: int = 0
    test: dict[str, float] = {}
    undefined: dict[str, str] = {}
    counts: dict[str, dict[str, float]] = {}
    reliability: dict[str, tuple[tuple[int, float, float], ...]] = {}


class Provenance(_Record):
    """``task.json``: what the results depend on."""

    title: str
    citation: str
    protocol: dict[str, Any]
    data: str
    code: str
    versions: dict[str, str]
    python: str
    device: str
    key: str
    commit: str | None


class _Skipped(_Record):
    reason: str


@dataclass(frozen=True)
class Task:
    """A method in a setting; ``excluded`` says why it is not in the table, None if it is.

    ``trials`` are the fits of the search, ``defaults`` those of the default hyper-parameters and
    ``seeds`` those of the best ones, a fit per replicate and in their order.
    """

    method: str
    provenance: Provenance | None
    trials: tuple[Fit, ...]
    seeds: tuple[Fit, ...]
    excluded: str | None
    defaults: tuple[Fit, ...] = ()

    @property
    def title(self) -> str:
        """The method's name as its paper spells it, where known."""
        return self.provenance.title if self.provenance else self.method

    @property
    def seconds(self) -> float:
        """Training time of all trials and seeds; that of diverged ones is not on record."""
        return sum(fit.seconds for fit in (*self.trials, *self.seeds))

    def values(self, metric: str) -> Array | None:
        """Return a test metric of each replicate, (replicates,); None if undefined."""
        return _values(self.seeds, metric)

    def default_values(self, metric: str) -> Array | None:
        """Return the same of the default hyper-parameters."""
        return _values(self.defaults, metric)

    def positives(self, space: str) -> float | None:
        """Return the fewest positives of a population in any replicate; None if not on record."""
        known = [fit.counts[space]["positives"] for fit in self.seeds if space in fit.counts]
        return min(known, default=None)


def _values(fits: tuple[Fit, ...], metric: str) -> Array | None:
    if not fits or any(metric not in fit.test for fit in fits):
        return None
    return np.array([fit.test[metric] for fit in fits])


@dataclass(frozen=True)
class DatasetResults:
    """A dataset with its tasks; ``schema`` is None where nothing was prepared or run."""

    dataset: str
    schema: Schema | None
    tasks: tuple[Task, ...]

    @property
    def title(self) -> str:
        """The dataset's title, where known."""
        return self.schema.title if self.schema else self.dataset

    @cached_property
    def reported(self) -> tuple[Task, ...]:
        """The tasks that enter the table."""
        return tuple(task for task in self.tasks if task.excluded is None)


def read(params: Params, runs: Path, processed: Path) -> list[DatasetResults]:
    """Return what is on record of the datasets and methods of ``params.yaml``.

    Raises:
        FileNotFoundError: nothing is on record, or a dataset with runs has no schema.
        ValueError: a record cannot be read.
    """
    logs = [
        _log(dataset, params, runs / dataset, processed / dataset) for dataset in params.datasets
    ]
    if not any(task.provenance for log in logs for task in log.tasks):
        raise FileNotFoundError(
            f"{runs} holds no run of the datasets and methods in params.yaml; "
            "run `dvc repro` or `python -m benchmark run DATASET METHOD` first"
        )
    return logs


def _log(dataset: str, params: Params, runs: Path, processed: Path) -> DatasetResults:
    started = any((runs / method / "task.json").is_file() for method in params.methods)
    prepared = (processed / "schema.json").is_file()
    schema = Schema.read(processed) if started or prepared else None
    tasks = (read_task(runs / method, method, schema, params.protocol) for method in params.methods)
    return DatasetResults(dataset, schema, tuple(tasks))


def read_task(folder: Path, method: str, schema: Schema | None, protocol: Protocol) -> Task:
    """Return what a folder of results has on record of a method.

    Raises:
        ValueError: a record cannot be read.
    """
    if schema is None or not (folder / "task.json").is_file():
        return Task(method, None, (), (), "not run yet")
    provenance = _read(folder / "task.json", Provenance)
    trials, seeds = (
        tuple(_read(path, Fit) for path in sorted((folder / kind).glob("*.json")))
        for kind in ("trials", "seeds")
    )
    seeds = tuple(sorted(seeds, key=lambda fit: fit.seed))
    skipped = folder / "skipped.json"
    reason = _stale(provenance, schema, protocol) or (
        _read(skipped, _Skipped).reason
        if skipped.is_file()
        else _incomplete(trials, seeds, protocol)
    )
    return Task(method, provenance, trials, seeds, reason)


def _stale(provenance: Provenance, schema: Schema, protocol: Protocol) -> str | None:
    """Return why results cannot stand beside those of the present params and data, if so."""
    if not _equal(provenance.protocol, protocol):
        return "out of date: its protocol is not that of params.yaml; run it again"
    if provenance.data != schema.fingerprint:
        return "out of date: it was run on other data than are now prepared; run it again"
    return None


def _equal(recorded: dict[str, Any], protocol: Protocol) -> bool:
    """Compare protocols; a record from before a field existed has its default."""
    try:
        return Protocol.model_validate(recorded) == protocol
    except ValidationError:
        return False


def _incomplete(trials: tuple[Fit, ...], seeds: tuple[Fit, ...], protocol: Protocol) -> str | None:
    for fit in seeds:
        if fit.diverged:
            return f"diverged with seed {fit.seed}: {fit.diverged}"
    if trials and len(trials) == protocol.tuning.trials and all(fit.diverged for fit in trials):
        return "diverged in every trial"
    if {fit.seed for fit in seeds} == set(protocol.seeds):
        return None
    return f"unfinished: {len(seeds)} of {len(protocol.seeds)} seeds on record; run it again"


R = TypeVar("R", bound=_Record)


def _read(path: Path, kind: type[R]) -> R:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "JSON"
        raise ValueError(
            f"{path} is no run record: {field}: {first['msg']}; delete its folder and run it again"
        ) from error
