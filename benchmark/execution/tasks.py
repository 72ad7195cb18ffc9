"""The tasks of the benchmark: a method in a setting, tuned, then fitted on every replicate.

A task's folder holds ``task.json`` (its key and provenance), ``trials/*.json`` (a file per trial
and tuning draw), ``default/*.json`` (the default hyper-parameters on every replicate),
``best.json`` (what the search chose) and ``tuned/*.json`` (the same with these, unless they are the
defaults), each written whole; or ``skipped.json`` or ``failed.json`` with the reason. Content under
another key is deleted, content under the same key is kept: that is how a killed run resumes, and
how a larger budget keeps what a smaller one finished. What another kind of device has finished is
kept as well.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from benchmark import registry
from benchmark.config import Protocol
from benchmark.declarations import method_of, undeclared
from benchmark.errors import BenchmarkError, sentence
from benchmark.execution.candidates import train_and_record
from benchmark.execution.code import code_of
from benchmark.execution.fitting import Job, Work, train
from benchmark.execution.jobs import Queue
from benchmark.execution.provenance import commit, describe, is_elsewhere
from benchmark.metrics.criteria import check
from benchmark.metrics.undefined import UndefinedError
from benchmark.registry import PluginError
from benchmark.schema import Schema
from benchmark.sealing import read_sealed, write_sealed
from benchmark.splits import schema_of
from benchmark.studies import Setting
from benchmark.training.method import Method
from benchmark.training.search import defaults, sample, tune
from benchmark.training.trainer import DivergedError
from benchmark.training.vectorized import allowed

OWN_SEEDS = 1_000_000
NO_MEMORY = "DefaultCPUAllocator"  # torch's words where the host has none left


@dataclass(frozen=True)
class Cell:
    """A method in a setting, whose results belong into a folder."""

    folder: Path
    setting: Setting
    method: str
    protocol: Protocol
    replicates: int

    def __str__(self) -> str:
        return f"{self.method} on {self.setting.name}"

    @cached_property
    def kind(self) -> type[Method]:
        """The method's class.

        Raises:
            LookupError: there is no such method.
            PluginError: the file cannot be imported, or has not exactly one method.
        """
        return method_of(self.method)

    @cached_property
    def schema(self) -> Schema:
        """The schema of the first replicate, which tells the setting's data from others."""
        return schema_of(self.setting.replicate(0))

    @property
    def fits(self) -> int:
        """How many fits it takes, if tuning finds better hyper-parameters than the defaults."""
        raise NotImplementedError

    @property
    def work(self) -> Work:
        """What does its fits."""
        raise NotImplementedError

    def parts(self) -> Sequence[Callable[[Queue], object]]:
        """Return what is to be done, side by side."""
        raise NotImplementedError

    def prepare(self, where: Mapping[str, Any]) -> bool:
        """Make the folder belong to the task; return whether there may be something to do.

        ``where`` is the environment of the workers.

        Raises:
            FileNotFoundError: the dataset was not preprocessed.
            LookupError: there is no such method, or the selection metric is no criterion.
            PluginError: the method's file cannot be imported.
            RuntimeError: the device that the protocol asks for is not there, or the task failed
                before and would fail again.
        """
        self.check()
        with registry.located("methods", self.method):
            task = describe(self.schema, self.method, self.kind, self.protocol, where)
            missing = self.kind.missing(self.schema)
        if not self.is_finished(task):
            prepare_folder(self.folder, task, missing)
        if (reason := self._lasting) is not None:
            raise FailedBeforeError(reason)
        (self.folder / "failed.json").unlink(missing_ok=True)
        return not self.is_skipped

    @property
    def is_skipped(self) -> bool:
        """Whether it is on record that the task cannot be run."""
        return read_sealed(self.folder / "skipped.json") is not None

    @property
    def _lasting(self) -> str | None:
        """Why the task failed and would fail again; None if it would not, or of other code."""
        failure = read_sealed(self.folder / "failed.json") or {}
        again = failure.get("lasting") and failure.get("code") == code_of(self.method)
        return failure["reason"] if again else None

    def check(self) -> None:
        """Make sure that the protocol fits the data.

        Raises:
            LookupError: the selection metric is no criterion.
            UndefinedError: it is undefined on these data.
        """
        check(self.protocol.selection_metric, self.schema)

    def is_finished(self, task: Mapping[str, Any]) -> bool:
        """Tell whether all that is described is on record, on whatever device."""
        recorded = read_sealed(self.folder / "task.json")
        if recorded is None or not is_elsewhere(task, recorded):
            return False
        return self.is_skipped or self._lasting is not None or self.is_complete()

    def is_complete(self) -> bool:
        """Tell whether every record is there."""
        raise NotImplementedError

    def unfit(self, error: UndefinedError) -> str:
        """Return why the method is skipped where something it needs is undefined."""
        return str(error)

    def fail(self, error: BaseException) -> None:
        """Put the reason of a failure on record, and whether the same would come again.

        A method that diverged comes to its end at once, as its fits are on record.
        """
        begun = (self.folder / "task.json").is_file()
        if isinstance(error, UndefinedError):
            write_sealed(self.folder / "skipped.json", {"reason": self.unfit(error)})
        elif not isinstance(error, FailedBeforeError) and (begun or isinstance(error, PluginError)):
            lasting = isinstance(error, PluginError) and NO_MEMORY not in str(error)
            code = self._code()
            reason = {"reason": sentence(error), "lasting": lasting and bool(code), "code": code}
            write_sealed(self.folder / "failed.json", reason)

    def _code(self) -> str | None:
        """Return the hash of the code that failed; None of a file that declares no method."""
        try:
            declared = next(undeclared(self.method, self.kind), None) is None
        except (PluginError, LookupError):
            return None
        return code_of(self.method) if declared else None

    def job(
        self, processed: Path, hyperparameters: Mapping[str, Any], seed: int, *, final: bool
    ) -> Job:
        """Return a fit of the task's method."""
        values = tuple(sorted(hyperparameters.items()))
        first = self.setting.replicate(0).resolve()
        return Job(processed.resolve(), first, self.method, self.protocol, values, seed, final)


class Task(Cell):
    """A method that is tuned and fitted on every replicate.

    Attributes:
        always: the parts that are fitted on every replicate, whatever the search finds.
    """

    always: ClassVar[tuple[str, ...]] = ("default",)

    @property
    def work(self) -> Work:
        """What does its fits."""
        return train

    @property
    def fits(self) -> int:
        """How many fits it takes, if tuning finds better hyper-parameters than the defaults."""
        tuning = self.protocol.tuning
        return tuning.trials * tuning.draws + self.replicates * (1 + (tuning.trials > 1))

    def parts(self) -> Sequence[Callable[[Queue], object]]:
        """Return the fits of the default hyper-parameters, and the search with what follows."""
        return self.fit_default, lambda queue: self.fit_tuned(queue, self.search(queue))

    def unfit(self, error: UndefinedError) -> str:
        """Return why the method is skipped: the selection metric is undefined."""
        return f"cannot be selected by {self.protocol.selection_metric}: {error}"

    def is_complete(self) -> bool:
        """Tell whether the search is over and all replicates are on record."""
        best = read_sealed(self.folder / "best.json")
        return best is not None and all(
            read_sealed(self.folder / part / f"{number}.json")
            for part in {*self.always, best["part"]}
            for number in range(self.replicates)
        )

    def search(self, queue: Queue) -> dict[str, Any]:
        """Tune, and put on record which hyper-parameters are the best.

        Raises:
            DivergedError: every trial diverged.
        """
        best = tune(self.kind, self.protocol, partial(self._trials, queue), own_seed(self.method))
        part = "default" if best == self._default else "tuned"
        write_sealed(self.folder / "best.json", {"hyperparameters": best, "part": part})
        return best

    def fit_default(self, queue: Queue) -> None:
        """Fit the default hyper-parameters on every replicate.

        Raises:
            DivergedError: a replicate did.
        """
        self._fit(queue, "default", self._default)

    def fit_tuned(self, queue: Queue, best: Mapping[str, Any]) -> None:
        """Fit the best hyper-parameters on every replicate, unless they are the defaults.

        Raises:
            DivergedError: a replicate did.
        """
        if best != self._default:
            self._fit(queue, "tuned", best)
        else:
            queue.skip(self.replicates * (self.protocol.tuning.trials > 1))

    @cached_property
    def _default(self) -> dict[str, Any]:
        return defaults(self.kind, self.protocol)

    def _fit(self, queue: Queue, part: str, hyperparameters: Mapping[str, Any]) -> None:
        jobs = {
            self.folder / part / f"{number}.json": self.job(
                self.setting.replicate(number), hyperparameters, number, final=True
            )
            for number in range(self.replicates)
        }
        for number, record in enumerate(self._collected(queue, jobs)):
            if "diverged" in record:
                raise DivergedError(f"replicate {number} of {self}: {record['diverged']}")

    def _trials(
        self, queue: Queue, first: int, batch: Sequence[dict[str, Any]]
    ) -> list[float | None]:
        """Return the validation value of each trial of a batch, numbered from ``first``.

        It is the mean over tuning draws, None where a fit diverged.
        """
        draws = range(self.protocol.tuning.draws)
        jobs = {
            self.folder / "trials" / f"{first + i:04d}-{draw}.json": self.job(
                self.setting.tuning(draw),
                hyperparameters,
                self.protocol.tuning.seed + draw,
                final=False,
            )
            for i, hyperparameters in enumerate(batch)
            for draw in draws
        }
        values = iter([record["value"] for record in self._collected(queue, jobs)])
        return [_mean([next(values) for _ in draws]) for _ in batch]

    def _collected(self, queue: Queue, jobs: Mapping[Path, Job]) -> list[dict[str, Any]]:
        vectorized = not self.setting.redraws and allowed(self.kind, self.protocol, self.schema)
        return queue.collect(jobs, vectorized=vectorized)


class Reference(Task):
    """A reference of equal capacity, of which only the best hyper-parameters are compared."""

    always = ()

    @property
    def fits(self) -> int:
        """How many fits it takes."""
        tuning = self.protocol.tuning
        return tuning.trials * tuning.draws + self.replicates

    def parts(self) -> Sequence[Callable[[Queue], object]]:
        """Return the search with what follows."""
        return (lambda queue: self.fit_tuned(queue, self.search(queue)),)

    def fit_tuned(self, queue: Queue, best: Mapping[str, Any]) -> None:
        """Fit the best hyper-parameters on every replicate.

        Raises:
            DivergedError: a replicate did.
        """
        self._fit(queue, "default" if best == self._default else "tuned", best)


@dataclass(frozen=True)
class Candidates(Cell):
    """Candidates of a study of selection: the defaults and random points, on every replicate."""

    count: int

    @property
    def work(self) -> Work:
        """What does its fits."""
        return train_and_record

    @property
    def fits(self) -> int:
        """How many fits it takes."""
        return self.count * self.replicates

    def check(self) -> None:
        """Make sure that the truth is known.

        Raises:
            UndefinedError: it is not.
        """
        if not (self.schema.has_oracle and self.schema.has_impressions):
            raise UndefinedError(
                f"{self.setting.name} has no oracle, which comparing criteria needs"
            )

    def parts(self) -> Sequence[Callable[[Queue], object]]:
        """Return what trains all candidates."""
        return (self._run,)

    def is_complete(self) -> bool:
        """Tell whether every candidate is on record."""
        return all(read_sealed(self.folder / "candidates" / name) for name in self._names())

    def _names(self) -> list[str]:
        pairs = product(range(self.replicates), range(self.count))
        return [f"{replicate}-{number:04d}.json" for replicate, number in pairs]

    def _run(self, queue: Queue) -> None:
        points = [
            (replicate, point)
            for replicate in range(self.replicates)
            for point in sample(self.kind, self.protocol, self.count, replicate)
        ]
        queue.collect(
            {
                self.folder / "candidates" / name: self.job(
                    self.setting.replicate(replicate), point, replicate, final=True
                )
                for name, (replicate, point) in zip(self._names(), points, strict=True)
            }
        )


def own_seed(method: str) -> int:
    """Return a number that is a method's own, whatever other methods there are."""
    return zlib.crc32(method.encode()) % OWN_SEEDS


class FailedBeforeError(BenchmarkError):
    """The task failed before, and would fail again with the same code and data."""


def prepare_folder(folder: Path, task: Mapping[str, Any], missing: str | None) -> None:
    """Make the folder belong to what is described, without what another left.

    ``missing`` is the reason why it cannot be run, if so; then it is skipped.

    Raises:
        RuntimeError: the device that the protocol asks for is not there.
    """
    if task["device"] is None:
        raise RuntimeError(
            "protocol.device is cuda, which is not here; take `auto`, or a cluster that has it: "
            "`python -m benchmark run --on slurm`"
        )
    recorded = read_sealed(folder / "task.json")
    if recorded is None or recorded.get("key") != task["key"]:
        shutil.rmtree(folder, ignore_errors=True)
        write_sealed(folder / "task.json", dict(task) | {"commit": commit()})
    (folder / "skipped.json").unlink(missing_ok=True)
    if missing:
        write_sealed(folder / "skipped.json", {"reason": missing})


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
