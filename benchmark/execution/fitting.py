"""One fit: what is trained and evaluated, and the record of it.

All that can change a number is imported here: the key of a result covers this module and what it
imports, and nothing of how fits are scheduled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, Literal

import torch

from benchmark import registry
from benchmark.config import Protocol
from benchmark.metrics.criteria import ESTIMATED
from benchmark.metrics.evaluation import assess, evaluate
from benchmark.metrics.undefined import UndefinedError
from benchmark.schema import Schema
from benchmark.training.backbones import blueprint
from benchmark.training.method import Method
from benchmark.training.trainer import Data, DivergedError, Fit, fit, predict
from benchmark.training.vectorized import fit_vectorized

# What may be otherwise when the same is tried again, or is no fault of the method's file.
UNCHANGED = (UndefinedError, MemoryError, torch.OutOfMemoryError, OSError)
CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}


@dataclass(frozen=True)
class Job:
    """One fit: what, on which data, with which hyper-parameters and seed.

    ``first`` is the folder of the setting's first replicate, whose data the task's key names.
    """

    processed: Path
    first: Path
    method: str
    protocol: Protocol
    hyperparameters: tuple[tuple[str, Any], ...]
    seed: int
    final: bool  # evaluate on test, which trials never see


@dataclass(frozen=True)
class Stopwatch:
    """Measures a fit: its CPU time on a CPU, which work beside it does not lengthen.

    On other devices, for which the CPU waits, it is wall-clock time.
    """

    clock: Literal["cpu", "wall"]
    start: float

    @classmethod
    def of(cls, job: Job) -> Stopwatch:
        """Return one that runs from now on."""
        on_cpu = resolve_device(job.protocol.device).type == "cpu"
        clock: Literal["cpu", "wall"] = "cpu" if on_cpu else "wall"
        return cls(clock, CLOCKS[clock]())

    def taken(self, fits: int = 1) -> dict[str, Any]:
        """Return the seconds that each of so many fits took, and by which clock."""
        return {"seconds": (CLOCKS[self.clock]() - self.start) / fits, "clock": self.clock}


Work = Callable[[Sequence[Job]], list[dict[str, Any]]]


def located(work: Work) -> Work:
    """Return the work, which adds to errors of a method's file their line."""

    @wraps(work)
    def wrapped(jobs: Sequence[Job]) -> list[dict[str, Any]]:
        with registry.located("methods", jobs[0].method, *UNCHANGED):
            return work(jobs)

    return wrapped


@located
def train(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Train one model, or several of a task in vectorised steps, and return their records.

    The value of one that diverged is None. A final one has its ``scores`` of the test split.

    Raises:
        PluginError: the method's file raised an error.
    """
    return (len(jobs) > 1 and _vectorized(jobs)) or [_alone(job) for job in jobs]


def _alone(job: Job) -> dict[str, Any]:
    method, data = _prepared(job)
    outcome: Fit | DivergedError
    watch = Stopwatch.of(job)
    try:
        outcome = fit(method, data, job.protocol, dict(job.hyperparameters), job.seed)
    except DivergedError as reason:
        outcome = reason
    return _record(job, method, data, outcome, watch.taken())


def _vectorized(jobs: Sequence[Job]) -> list[dict[str, Any]] | None:
    """Return the records of models trained in vectorised steps, None if they cannot be."""
    methods, (data, *_) = zip(*map(_prepared, jobs), strict=True)
    watch = Stopwatch.of(jobs[0])
    hyperparameters = [dict(job.hyperparameters) for job in jobs]
    seeds = [job.seed for job in jobs]
    outcomes = fit_vectorized(methods, data, jobs[0].protocol, hyperparameters, seeds)
    if outcomes is None:
        return None
    taken = watch.taken(len(jobs))
    return [
        _record(job, method, data, outcome, taken)
        for job, method, outcome in zip(jobs, methods, outcomes, strict=True)
    ]


def _record(
    job: Job, method: Method, data: Data, outcome: Fit | DivergedError, taken: dict[str, Any]
) -> dict[str, Any]:
    record = {
        "hyperparameters": dict(job.hyperparameters),
        "seed": job.seed,
        "data": data.schema.fingerprint,
        **taken,
    }
    if isinstance(outcome, DivergedError):
        return record | {"value": None, "diverged": str(outcome)}
    record |= {
        "value": outcome.history[outcome.best_epoch],
        "history": outcome.history,
        "best_epoch": outcome.best_epoch,
        "sample_gradients": outcome.sample_gradients,
        "parameters": sum(parameter.numel() for parameter in method.parameters()),
    }
    return record | (_tested(method, data) if job.final else {})


def _prepared(job: Job) -> tuple[Method, Data]:
    return prepare(job, estimates=job.protocol.selection_metric in ESTIMATED)


def prepare(job: Job, *, estimates: bool) -> tuple[Method, Data]:
    """Return the untrained model of a job and its data, with or without selection's estimates."""
    torch.set_num_threads(1)
    device = resolve_device(job.protocol.device)
    now = Schema.read(job.processed).fingerprint
    data = _data(job.processed, now, device, estimates=estimates)
    hyper = dict(job.hyperparameters)
    torch.manual_seed(job.seed)
    kind = registry.load("methods", job.method, Method)
    own = {name: hyper[name] for name in kind.search_space}
    return kind(blueprint(data.schema, job.protocol.backbone), **own).to(device), data


def resolve_device(name: str) -> torch.device:
    """Return the device of a run; "auto" is CUDA if there is any."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _tested(method: Method, data: Data) -> dict[str, Any]:
    scores = predict(method, data.test.table)
    return {
        "valid": evaluate(data.valid.labels, predict(method, data.valid.table)),
        **vars(assess(data.test.labels, scores)),
        "scores": scores,
    }


@lru_cache(maxsize=2)
def _data(processed: Path, _: str, device: torch.device, *, estimates: bool) -> Data:
    """Return a folder's data; the fingerprint keeps the cache from returning old ones."""
    data = Data.read(processed, device)
    if not estimates:
        return data
    from benchmark.training.nuisances import with_estimates  # noqa: PLC0415 (half a second)

    return with_estimates(data)
