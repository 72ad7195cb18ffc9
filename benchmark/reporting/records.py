"""The records of fits as they lie in ``results/runs``, and whether each may enter a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.config import Params, Protocol
from benchmark.execution.archive import SCHEMA
from benchmark.execution.predictions import SUFFIX
from benchmark.files import sha256
from benchmark.references import MARK, is_widened, own_protocol
from benchmark.reporting.metric import Array
from benchmark.reporting.resampling import Resampling
from benchmark.schema import Schema
from benchmark.sealing import is_sealed
from benchmark.splits import schema_of
from benchmark.studies import Setting, Workspace


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Fit(_Record):
    """One fit, of a trial or of a replicate. Only the latter has ``test``, unless it diverged."""

    method: str
    hyperparameters: dict[str, Any]
    seed: int
    data: str = ""
    value: float | None
    diverged: str | None = None
    history: tuple[float, ...] = ()
    best_epoch: int | None = None
    seconds: float = 0.0
    clock: Literal["cpu", "wall"] = "wall"
    sample_gradients: int = 0
    parameters: int = 0
    test: dict[str, float] = {}
    undefined: dict[str, str] = {}
    counts: dict[str, dict[str, float]] = {}
    reliability: dict[str, tuple[tuple[int, float, float], ...]] = {}
    predictions: str = ""


class Adopted(_Record):
    """The code that fitted records which were kept, and how many fits were made again for it."""

    code: str
    fits: int


class Provenance(_Record):
    """``task.json``: what the results depend on."""

    method: str
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
    adopted: Adopted | None = None


class _Reason(_Record):
    reason: str


class _Best(_Record):
    hyperparameters: dict[str, Any]
    part: Literal["default", "tuned"]


@dataclass(frozen=True)
class Trial:
    """The fits of a trial: one on each tuning draw, all with the same hyper-parameters."""

    fits: tuple[Fit, ...]

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What was tried."""
        return self.fits[0].hyperparameters

    @property
    def value(self) -> float | None:
        """The mean of the selection metric over the tuning draws; None if a fit diverged."""
        values = [fit.value for fit in self.fits if fit.value is not None]
        return sum(values) / len(values) if len(values) == len(self.fits) else None

    @property
    def diverged(self) -> str | None:
        """Why the first fit that diverged did so; None if none did."""
        return next((fit.diverged for fit in self.fits if fit.diverged), None)


@dataclass(frozen=True)
class Task:
    """A method in a setting; ``excluded`` says why it is not in the table, None if it is.

    ``trials`` are those of the search in their order, ``defaults`` the fits of the default
    hyper-parameters and ``replicates`` those of the best ones, of the ``part`` of the ``folder``.
    """

    method: str
    provenance: Provenance | None
    trials: tuple[Trial, ...]
    replicates: tuple[Fit, ...]
    excluded: str | None
    defaults: tuple[Fit, ...] = ()
    folder: Path = Path()
    part: Literal["default", "tuned"] = "default"

    @property
    def title(self) -> str:
        """The method's name as its paper spells it, where known."""
        return self.provenance.title if self.provenance else self.method

    @property
    def redrawn(self) -> bool:
        """Whether the replicates are of data of their own."""
        return len({fit.data for fit in self.replicates}) > 1

    @property
    def fits(self) -> tuple[Fit, ...]:
        """All fits: of the search, of the default hyper-parameters and of the best ones."""
        tuned = () if self.replicates == self.defaults else self.replicates
        searched = chain.from_iterable(trial.fits for trial in self.trials)
        return (*searched, *self.defaults, *tuned)

    @property
    def seconds(self) -> float:
        """Training time of all fits; that of diverged ones is not on record."""
        return sum(fit.seconds for fit in self.fits)

    @property
    def seconds_per_fit(self) -> float:
        """Mean training time of a replicate, of those in CPU time where there are any."""
        in_cpu_time = [fit.seconds for fit in self.replicates if fit.clock == "cpu"]
        return float(np.mean(in_cpu_time or [fit.seconds for fit in self.replicates]))

    def values(self, metric: str) -> Array | None:
        """Return a test metric of each replicate, (replicates,); None if undefined."""
        return _values(self.replicates, metric)

    def default_values(self, metric: str) -> Array | None:
        """Return the same of the default hyper-parameters."""
        return _values(self.defaults, metric)

    def predicted(self, *, default: bool = False) -> dict[Path, Fit]:
        """Return the final fits by the paths of their test predictions."""
        fits, part = (self.defaults, "default") if default else (self.replicates, self.part)
        return {self.folder / part / f"{number}{SUFFIX}": fit for number, fit in enumerate(fits)}

    def positives(self, space: str) -> float | None:
        """Return the fewest positives of a population in any replicate; None if not on record."""
        known = [fit.counts[space]["positives"] for fit in self.replicates if space in fit.counts]
        return min(known, default=None)


def _values(fits: tuple[Fit, ...], metric: str) -> Array | None:
    if not fits or any(metric not in fit.test for fit in fits):
        return None
    return np.array([fit.test[metric] for fit in fits])


@dataclass(frozen=True)
class DatasetResults:
    """A setting with its tasks; ``schema`` is None where nothing was prepared or run.

    ``widened`` are finished fits of the reference method with more parameters, ``data`` is the
    folder of the splits, and ``variant`` names what a study changes in the protocol.
    """

    dataset: str
    schema: Schema | None
    tasks: tuple[Task, ...]
    widened: tuple[Task, ...] = ()
    data: Path = Path()
    variant: str = ""

    @property
    def title(self) -> str:
        """The dataset's title, where known, with the variant."""
        if self.schema is None:
            return self.dataset
        return f"{self.schema.title}, {self.variant}" if self.variant else self.schema.title

    @cached_property
    def reported(self) -> tuple[Task, ...]:
        """The tasks that enter the table."""
        return tuple(task for task in self.tasks if task.excluded is None)

    @property
    def redrawn(self) -> bool:
        """Whether each replicate is a fresh draw of the data."""
        return any(task.redrawn for task in self.reported)

    @cached_property
    def unresampled(self) -> str:
        """Why the test data cannot be resampled; "" if they can."""
        if self.schema is None or self.redrawn or self.schema.has_oracle:
            return "its data are simulated"
        if not (self.data / "test.parquet").is_file():
            return "the test split is not here"
        tasks = (*self.reported, *self.widened)
        lacking = dict.fromkeys(task.title for task in tasks if not _are_predicted(task))
        if len(lacking) == len({task.title for task in tasks}):
            return "predictions are missing"
        return f"predictions of {', '.join(lacking)} are missing" if lacking else ""

    @cached_property
    def resampling(self) -> Resampling | None:
        """The test data in bootstrap draws, where the replicates share them."""
        if self.unresampled or self.schema is None:
            return None
        return Resampling.read(self.data, self.schema)


def _are_predicted(task: Task) -> bool:
    """Whether the predictions of all final fits are there, and are those on record."""
    fits = task.predicted() | task.predicted(default=True)
    return all(path.is_file() and sha256(path) == fit.predictions for path, fit in fits.items())


def read(workspace: Workspace) -> list[DatasetResults]:
    """Return what is on record of the settings and methods of a study.

    Raises:
        FileNotFoundError: nothing is on record, or a setting with runs has no schema.
        ValueError: a record cannot be read.
    """
    datasets = [read_setting(setting, workspace) for setting in workspace.settings()]
    if not any(task.provenance for results in datasets for task in results.tasks):
        raise FileNotFoundError(
            f"{workspace.runs} holds no run of what params.yaml names; "
            "run `dvc repro` or `python -m benchmark run` first"
        )
    return datasets


def read_setting(setting: Setting, workspace: Workspace) -> DatasetResults:
    """Return what is on record of all methods in a setting.

    Published records can be read without the data, whose schema they have with them.

    Raises:
        FileNotFoundError: it has runs, but no schema.
        ValueError: a record cannot be read.
    """
    params, runs = workspace.params_of(setting), workspace.runs / setting.name
    started = any((runs / method / "task.json").is_file() for method in params.methods)
    data = setting.replicate(0)
    restored = not (data / SCHEMA).is_file() and (runs / SCHEMA).is_file()
    schema = schema_of(runs if restored else data) if started else setting.schema
    prints = _fingerprints(setting, params.replicates) if schema else ()
    tasks = (read_task(runs / method, method, schema, params, prints) for method in params.methods)
    folders = sorted(runs.glob(f"{params.leaderboard.reference}{MARK}*"))
    wider = (read_task(folder, folder.name, schema, params, prints) for folder in folders)
    finished = tuple(task for task in wider if task.excluded is None)
    return DatasetResults(setting.name, schema, tuple(tasks), finished, data, setting.variant)


def _fingerprints(setting: Setting, replicates: int) -> tuple[str | None, ...]:
    """Return the fingerprint of each replicate's data, None where they are not there."""
    folders = [setting.replicate(number) for number in range(replicates)]
    return tuple(
        schema_of(folder).fingerprint if (folder / "schema.json").is_file() else None
        for folder in folders
    )


def read_task(
    folder: Path,
    method: str,
    schema: Schema | None,
    params: Params,
    data: Sequence[str | None],
) -> Task:
    """Return what a folder of results has on record of a method; ``data`` are the replicates'.

    Raises:
        ValueError: a record cannot be read.
    """
    if schema is None or not (folder / "task.json").is_file():
        return Task(method, None, (), (), _reason(folder) or "not run yet")
    provenance = _read(folder / "task.json", Provenance)
    best = _read(folder / "best.json", _Best) if (folder / "best.json").is_file() else None
    trials = _trials(folder, params.protocol.tuning.trials)
    default = _fits(folder, [f"default/{number}" for number in range(params.replicates)])
    tuned = _fits(folder, [f"tuned/{number}" for number in range(params.replicates)])
    final = tuned if best and best.part == "tuned" else default
    needed = final if is_widened(method) else default
    own = own_protocol(params.protocol, method, provenance.protocol)
    reason = (
        _stale(provenance, schema, own)
        or _reason(folder)
        or _incomplete(best, final, needed, params.replicates)
        or _of_another_search(best, trials, params.protocol.tuning.trials)
        or _of_another_method(folder.name, provenance, trials, default, final)
        or _misplaced(best, final, default)
        or _diverged((*default, *final))
        or _changed((*default, *final), data)
    )
    part = best.part if best else "default"
    return Task(method, provenance, trials, final, reason, default, folder, part)


def _trials(folder: Path, count: int) -> tuple[Trial, ...]:
    trials = (Trial(_fits(folder, [f"trials/{number:04d}-*"])) for number in range(count))
    return tuple(trial for trial in trials if trial.fits)


def _fits(folder: Path, patterns: Iterable[str]) -> tuple[Fit, ...]:
    paths = (path for pattern in patterns for path in sorted(folder.glob(f"{pattern}.json")))
    return tuple(_read(path, Fit) for path in paths)


def _stale(provenance: Provenance, schema: Schema, protocol: Protocol) -> str | None:
    """Return why results cannot stand beside those of the present params and data, if so."""
    if not _equal(provenance.protocol, protocol):
        return "out of date: its protocol is not that of params.yaml; run it again"
    if provenance.data != schema.fingerprint:
        return "out of date: it was run on other data than are now prepared; run it again"
    return None


def _equal(recorded: dict[str, Any], protocol: Protocol) -> bool:
    """Compare protocols but for their budgets."""
    return recorded == protocol.identity


def _reason(folder: Path) -> str | None:
    """Return why the task was skipped, or failed."""
    for name, words in (("skipped", ""), ("failed", "failed: ")):
        if (path := folder / f"{name}.json").is_file():
            return words + _read(path, _Reason).reason
    return None


def _incomplete(
    best: _Best | None, fits: tuple[Fit, ...], default: tuple[Fit, ...], replicates: int
) -> str | None:
    if best is None or len(default) < replicates or len(fits) < replicates:
        count = min(len(fits), len(default))
        return f"unfinished: {count} of {replicates} replicates on record; run it again"
    return None


def _of_another_search(best: _Best | None, trials: Sequence[Trial], budget: int) -> str | None:
    """Return why the best hyper-parameters are not those of as many trials as the params say."""
    if len(trials) < budget:
        return f"unfinished: {len(trials)} of {budget} trials on record; run it again"
    tried = [trial.hyperparameters for trial in trials]
    if best and best.part == "tuned" and best.hyperparameters not in tried:
        return "out of date: its best hyper-parameters are those of a longer search; run it again"
    return None


def _of_another_method(
    name: str, provenance: Provenance, trials: Iterable[Trial], *finals: Sequence[Fit]
) -> str | None:
    """Return which records are of another method than their folder is, as copied ones are."""
    fits = chain.from_iterable([*(trial.fits for trial in trials), *finals])
    found = {provenance.method, *(fit.method for fit in fits)}
    others = found - {name.partition(MARK)[0]}
    return f"its records are of {', '.join(sorted(others))}; run it again" if others else None


def _misplaced(best: _Best | None, final: Sequence[Fit], default: Sequence[Fit]) -> str | None:
    """Return which record is of another fit than its place says, as one that was copied there."""
    for fits, chosen in ((final, best), (default, default[0] if default else None)):
        for number, fit in enumerate(fits):
            if fit.seed != number or (chosen and fit.hyperparameters != chosen.hyperparameters):
                return f"the record of replicate {number} is of another fit; run it again"
    return None


def _diverged(fits: Iterable[Fit]) -> str | None:
    """Return which replicate diverged, where that was not put on record as the task's failure."""
    reasons = (f"failed: replicate {x.seed} diverged: {x.diverged}" for x in fits if x.diverged)
    return next(reasons, None)


def _changed(fits: Iterable[Fit], data: Sequence[str | None]) -> str | None:
    """Return which fit is of other data than its replicate now has, if one is."""
    changed = (fit.seed for fit in fits if fit.data != data[fit.seed] is not None)
    if (number := next(changed, None)) is None:
        return None
    what = f"replicate {number} was run on other data than are now prepared"
    return f"out of date: {what}; run it again"


R = TypeVar("R", bound=_Record)


def _read(path: Path, kind: type[R]) -> R:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}; run it again") from error
    if not is_sealed(content):
        raise ValueError(f"{path} is not what was written; run it again")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "JSON"
        raise ValueError(
            f"{path} is no run record: {field}: {first['msg']}; delete its folder and run it again"
        ) from error
