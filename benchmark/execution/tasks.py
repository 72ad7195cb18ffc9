"""The tasks of the benchmark: a method on a dataset, tuned, then run with every seed, on record.

A task's folder holds ``task.json`` (its key and provenance), ``trials/*.json`` and
``seeds/*.json``, each written whole; or ``skipped.json`` with the reason. Content under another
key is deleted, content under the same key is kept: that is how a killed run resumes. What another
kind of device has finished is kept as well.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from benchmark import registry
from benchmark.config import Protocol
from benchmark.execution.jobs import Job, Queue
from benchmark.execution.provenance import commit, describe, is_elsewhere
from benchmark.files import read_json, write_json
from benchmark.metrics.criteria import check
from benchmark.metrics.undefined import UndefinedError
from benchmark.schema import Schema
from benchmark.training.method import Method
from benchmark.training.search import tune
from benchmark.training.trainer import DivergedError
from benchmark.training.vectorized import allowed


@dataclass(frozen=True)
class Task:
    """A method on a dataset, whose results belong into a folder."""

    folder: Path
    processed: Path
    method: str
    protocol: Protocol

    def __str__(self) -> str:
        return f"{self.method} on {self.processed.name}"

    @property
    def fits(self) -> int:
        """How many trainings it takes."""
        return self.protocol.tuning.trials + len(self.protocol.seeds)

    @cached_property
    def kind(self) -> type[Method]:
        """The method's class."""
        return registry.load("methods", self.method, Method)

    def claim(self, where: Mapping[str, Any]) -> bool:
        """Make the folder belong to the task, unless it is finished; False if it is skipped.

        ``where`` is the environment of the workers.

        Raises:
            FileNotFoundError: the dataset was not preprocessed.
            LookupError: there is no such method, or the selection metric is no criterion.
            RuntimeError: the device that the protocol asks for is not there.
        """
        schema = Schema.read(self.processed)
        check(self.protocol.selection_metric, schema)
        task = describe(schema, self.method, self.kind, self.protocol, where)
        if not self._is_finished(task):
            claim(self.folder, task, self.kind.missing(schema))
        return not (self.folder / "skipped.json").is_file()

    def _is_finished(self, task: Mapping[str, Any]) -> bool:
        """Tell whether all that is described is on record, on whatever device."""
        path = self.folder / "task.json"
        if not path.is_file() or not is_elsewhere(task, read_json(path)):
            return False
        seeds = (self.folder / "seeds" / f"{seed}.json" for seed in self.protocol.seeds)
        skipped = (self.folder / "skipped.json").is_file()
        return skipped or all(seed.is_file() for seed in seeds) or self._all_diverged()

    def run(self, queue: Queue) -> None:
        """Tune, then train with every seed.

        Raises:
            DivergedError: every trial diverged, or a seed did.
            LostError: a job lost its worker too often.
        """
        try:
            jobs = self._seeds(tune(self.kind, self.protocol, partial(self._trials, queue)))
            records = self._collected(queue, jobs)
        except UndefinedError as reason:
            text = f"cannot be selected by {self.protocol.selection_metric}: {reason}"
            write_json(self.folder / "skipped.json", {"reason": text})
            return
        for seed, record in zip(self.protocol.seeds, records, strict=True):
            if "diverged" in record:
                raise DivergedError(f"seed {seed} of {self}: {record['diverged']}")

    def _trials(
        self, queue: Queue, first: int, batch: Sequence[dict[str, Any]]
    ) -> list[float | None]:
        """Return the validation value of each trial of a batch, numbered from ``first``."""
        jobs = {
            self.folder / "trials" / f"{first + i:04d}.json": self._job(
                hyperparameters, self.protocol.tuning.seed, final=False
            )
            for i, hyperparameters in enumerate(batch)
        }
        return [record["value"] for record in self._collected(queue, jobs)]

    def _seeds(self, hyperparameters: dict[str, Any]) -> dict[Path, Job]:
        """Return the jobs that train with every seed and evaluate on the test split."""
        return {
            self.folder / "seeds" / f"{seed}.json": self._job(hyperparameters, seed, final=True)
            for seed in self.protocol.seeds
        }

    def _collected(self, queue: Queue, jobs: Mapping[Path, Job]) -> list[dict[str, Any]]:
        together = allowed(self.kind, self.protocol, Schema.read(self.processed))
        return queue.collect(jobs, together=together)

    def _job(self, hyperparameters: dict[str, Any], seed: int, *, final: bool) -> Job:
        chosen = tuple(sorted(hyperparameters.items()))
        return Job(self.processed.resolve(), self.method, self.protocol, chosen, seed, final)

    def _all_diverged(self) -> bool:
        trials = [read_json(path) for path in (self.folder / "trials").glob("*.json")]
        whole = len(trials) == self.protocol.tuning.trials > 0
        return whole and all(trial["value"] is None for trial in trials)


def claim(folder: Path, task: Mapping[str, Any], missing: str | None) -> bool:
    """Make the folder belong to what is described, without what another left.

    ``missing`` is the reason why it cannot be run, if so; then it is skipped, and False returned.

    Raises:
        RuntimeError: the device that the protocol asks for is not there.
    """
    if task["device"] is None:
        raise RuntimeError(
            f"protocol.device is {task['protocol']['device']}, which is not here; take `auto`, "
            "or a cluster that has it: `python -m benchmark launch --on slurm`"
        )
    path = folder / "task.json"
    if not path.is_file() or read_json(path)["key"] != task["key"]:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(path, dict(task) | {"commit": commit()})
    if missing:
        write_json(folder / "skipped.json", {"reason": missing})
    return not missing
