"""The tasks of the benchmark: a method on a dataset, tuned, then run with every seed, on record.

A task's folder holds ``task.json`` (its key and provenance), ``trials/*.json`` and
``seeds/*.json``, each written whole; or ``skipped.json`` with the reason. Content under another
key is deleted, content under the same key is kept: that is how a killed run resumes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmark import registry
from benchmark.files import read_json, write_json
from benchmark.params import Protocol
from benchmark.schema import Schema
from benchmark.training.backbones import blueprint
from benchmark.training.method import Method
from benchmark.training.metrics import assess, curves, evaluate
from benchmark.training.nuisances import with_estimates
from benchmark.training.provenance import commit, describe, resolve_device
from benchmark.training.selection import ESTIMATED, check
from benchmark.training.trainer import Data, DivergedError, fit, predict
from benchmark.training.tuner import tune
from benchmark.training.undefined import UndefinedError
from benchmark.training.workers import Job, Queue, workers


def run(ready: Path, method_name: str, protocol: Protocol, folder: Path) -> None:
    """Tune a method on a dataset and run it with every seed, into ``folder``.

    Raises:
        DivergedError: every trial diverged, or a seed did although no trial like it had.
        LookupError: the selection metric is no criterion.
        UndefinedError: it takes impressions without a click, and the dataset has none.
    """
    for failure in run_all({folder: ready}, method_name, protocol):
        raise failure


def run_all(
    datasets: Mapping[Path, Path], method_name: str, protocol: Protocol
) -> list[DivergedError]:
    """Run a method on several datasets with the same workers; return what diverged.

    ``datasets`` has a ready dataset by the folder of its results. Searches come one after the
    other, then the seeds of all datasets in one queue.
    """
    method = registry.load("methods", method_name, Method)
    for ready in datasets.values():
        check(protocol.selection_metric, Schema.read(ready))
    tasks = [
        _Task(folder, ready, method_name, protocol)
        for folder, ready in datasets.items()
        if claim(folder, Schema.read(ready), method_name, method, protocol)
    ]
    total = len(tasks) * (protocol.tuning.trials + len(protocol.seeds))
    places = [ready.name for ready in datasets.values()]
    label = f"{places[0] if len(places) == 1 else f'{len(places)} datasets'} × {method_name}"
    with workers(protocol) as pool, tqdm(total=total, desc=label, unit="fit") as bar:
        queue = Queue(pool, bar, train)
        failures, jobs = [], dict[Path, Job]()
        for task in tasks:
            try:
                jobs |= task.seeds(tune(method, protocol, partial(task.trials, queue)))
            except DivergedError as failure:
                failures.append(failure)
            except UndefinedError as reason:
                task.skip(f"cannot be selected by {protocol.selection_metric}: {reason}")
        return failures + _diverged(jobs, queue.collect(jobs))


def train(job: Job) -> dict[str, Any]:
    """Train one model and return its record; the value is None if it diverged."""
    estimates = job.protocol.selection_metric in ESTIMATED
    method, data = prepare(job, estimates=estimates)
    hyper = dict(job.hyperparameters)
    record: dict[str, Any] = {"hyperparameters": hyper, "seed": job.seed}
    start = time.perf_counter()
    try:
        fitted = fit(method, data, job.protocol, hyper, job.seed)
    except DivergedError as reason:
        seconds = time.perf_counter() - start
        return record | {"value": None, "diverged": str(reason), "seconds": seconds}
    record |= {
        "value": fitted.history[fitted.best_epoch],
        "history": fitted.history,
        "best_epoch": fitted.best_epoch,
        "seconds": time.perf_counter() - start,
        "sample_gradients": fitted.sample_gradients,
        "parameters": sum(parameter.numel() for parameter in method.parameters()),
    }
    return record | (_tested(method, data) if job.final else {})


def prepare(job: Job, *, estimates: bool) -> tuple[Method, Data]:
    """Return the untrained model of a job and its data, with or without selection's estimates."""
    torch.set_num_threads(1)
    device = resolve_device(job.protocol.device)
    data = _data(job.ready, device, estimates=estimates)
    hyper = dict(job.hyperparameters)
    torch.manual_seed(job.seed)
    kind = registry.load("methods", job.method, Method)
    own = {name: hyper[name] for name in kind.search_space}
    return kind(blueprint(data.schema, job.protocol.backbone), **own).to(device), data


def _tested(method: Method, data: Data) -> dict[str, Any]:
    scores = predict(method, data.test.table)
    values, reasons = assess(data.test.labels, scores)
    return {
        "valid": evaluate(data.valid.labels, predict(method, data.valid.table)),
        "test": values,
        "undefined": reasons,
        **curves(data.test.labels, scores),
    }


@dataclass(frozen=True)
class _Task:
    """A method on a dataset, whose results belong into a folder."""

    folder: Path
    ready: Path
    method: str
    protocol: Protocol

    def trials(
        self, queue: Queue, first: int, batch: Sequence[dict[str, Any]]
    ) -> list[float | None]:
        """Return the validation value of each trial of a batch, numbered from ``first``."""
        jobs = {
            self.folder / "trials" / f"{first + i:04d}.json": self._job(
                hyperparameters, self.protocol.tuning.seed, final=False
            )
            for i, hyperparameters in enumerate(batch)
        }
        return [record["value"] for record in queue.collect(jobs)]

    def seeds(self, hyperparameters: dict[str, Any]) -> dict[Path, Job]:
        """Return the jobs that train with every seed and evaluate on the test split."""
        return {
            self.folder / "seeds" / f"{seed}.json": self._job(hyperparameters, seed, final=True)
            for seed in self.protocol.seeds
        }

    def skip(self, reason: str) -> None:
        """Record why there is no result."""
        write_json(self.folder / "skipped.json", {"reason": reason})

    def _job(self, hyperparameters: dict[str, Any], seed: int, *, final: bool) -> Job:
        chosen = tuple(sorted(hyperparameters.items()))
        return Job(self.ready, self.method, self.protocol, chosen, seed, final)


def _diverged(jobs: Mapping[Path, Job], records: Iterable[dict[str, Any]]) -> list[DivergedError]:
    return [
        DivergedError(f"seed {job.seed} of {job.method} on {job.ready.name}: {record['diverged']}")
        for job, record in zip(jobs.values(), records, strict=True)
        if "diverged" in record
    ]


def claim(
    folder: Path, schema: Schema, method_name: str, method: type[Method], protocol: Protocol
) -> bool:
    """Make the folder belong to the task, without what another left; False if it is skipped."""
    task = describe(schema, method_name, method, protocol)
    path = folder / "task.json"
    if not path.is_file() or read_json(path)["key"] != task["key"]:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(path, task | {"commit": commit()})
    if reason := method.missing(schema):
        write_json(folder / "skipped.json", {"reason": reason})
    return not reason


@lru_cache(maxsize=1)
def _data(ready: Path, device: torch.device, *, estimates: bool) -> Data:
    data = Data.read(ready, device)
    return with_estimates(data) if estimates else data
