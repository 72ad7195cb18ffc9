"""Running tasks: side by side, with the same workers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmark import registry
from benchmark.config import Protocol
from benchmark.execution.executors.executor import Executor
from benchmark.execution.jobs import Job, Queue, workers
from benchmark.execution.provenance import environment, resolve_device
from benchmark.execution.tasks import Task
from benchmark.metrics.criteria import ESTIMATED
from benchmark.metrics.evaluation import assess, evaluate
from benchmark.training.backbones import blueprint
from benchmark.training.method import Method
from benchmark.training.trainer import Data, DivergedError, Fit, fit, predict
from benchmark.training.vectorized import fit_together


def run(processed: Path, method_name: str, protocol: Protocol, folder: Path) -> None:
    """Tune a method on a dataset and run it with every seed, into ``folder``.

    Raises:
        DivergedError: every trial diverged, or a seed did although no trial like it had.
        LookupError: the selection metric is no criterion.
        UndefinedError: it takes impressions without a click, and the dataset has none.
    """
    for failure in run_all({folder: processed}, method_name, protocol):
        raise failure


def run_all(
    datasets: Mapping[Path, Path], method_name: str, protocol: Protocol
) -> list[DivergedError]:
    """Run a method on several datasets with the same workers; return what diverged.

    ``datasets`` has a ready dataset by the folder of its results.
    """
    tasks = [
        Task(folder, processed, method_name, protocol) for folder, processed in datasets.items()
    ]
    diverged = []
    for _, failure in run_tasks(tasks, workers(protocol)):
        if not isinstance(failure, DivergedError):
            raise failure
        diverged.append(failure)
    return diverged


def run_tasks(
    tasks: Sequence[Task], opened: AbstractContextManager[Executor | None]
) -> list[tuple[Task, BaseException]]:
    """Run tasks side by side with the same workers; return which failed, and why.

    A search waits for each of its batches, so that workers have something to do only if there are
    several searches: each task has a thread. Where workers may be elsewhere, one of them says what
    its device and libraries are, which is part of every key.
    """
    with ThreadPoolExecutor(max(1, len(tasks))) as threads, opened as executor, _bar() as bar:
        where = _environment(tasks[0].protocol.device, executor) if tasks else {}
        claims = [(task, _claimed(task, where)) for task in tasks]
        claimed = [task for task, found in claims if found is True]
        bar.total = sum(task.fits for task in claimed)
        bar.set_description(str(tasks[0]) if len(tasks) == 1 else f"{len(claimed)} tasks")
        queue = Queue(executor, bar, train)
        futures = [threads.submit(task.run, queue) for task in claimed]
        _await(futures)
        failures = [(task, found) for task, found in claims if isinstance(found, Exception)]
        ended = [(task, future.exception()) for task, future in zip(claimed, futures, strict=True)]
        return failures + [(task, error) for task, error in ended if error is not None]


def _bar() -> tqdm[Any]:
    return tqdm(desc="waiting for a worker", unit="fit")


def _environment(device: str, executor: Executor | None) -> dict[str, Any]:
    if executor is None or not executor.remote:
        return environment(device)
    asked = executor.submit(environment, device)
    _await([asked])
    return asked.result()


def _await(futures: Sequence[Future[Any]]) -> None:
    """Wait with pauses, in which an interrupt is heard: not every system breaks off a wait."""
    while wait(futures, timeout=0.5).not_done:
        pass


def _claimed(task: Task, where: Mapping[str, Any]) -> bool | Exception:
    try:
        return task.claim(where)
    except (OSError, LookupError, ValueError, RuntimeError) as error:
        return error


def train(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Train one model, or several of a task as one, and return their records.

    The value of one that diverged is None.
    """
    return (len(jobs) > 1 and _as_one(jobs)) or [_alone(job) for job in jobs]


def _alone(job: Job) -> dict[str, Any]:
    method, data = _prepared(job)
    outcome: Fit | DivergedError
    start = time.perf_counter()
    try:
        outcome = fit(method, data, job.protocol, dict(job.hyperparameters), job.seed)
    except DivergedError as reason:
        outcome = reason
    return _record(job, method, data, outcome, time.perf_counter() - start)


def _as_one(jobs: Sequence[Job]) -> list[dict[str, Any]] | None:
    """Return the records of models that were trained as one, None if they cannot be."""
    methods, (data, *_) = zip(*map(_prepared, jobs), strict=True)
    start = time.perf_counter()
    hyperparameters = [dict(job.hyperparameters) for job in jobs]
    seeds = [job.seed for job in jobs]
    outcomes = fit_together(methods, data, jobs[0].protocol, hyperparameters, seeds)
    if outcomes is None:
        return None
    seconds = (time.perf_counter() - start) / len(jobs)
    return [
        _record(job, method, data, outcome, seconds)
        for job, method, outcome in zip(jobs, methods, outcomes, strict=True)
    ]


def _record(
    job: Job, method: Method, data: Data, outcome: Fit | DivergedError, seconds: float
) -> dict[str, Any]:
    record = {"hyperparameters": dict(job.hyperparameters), "seed": job.seed, "seconds": seconds}
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
    data = _data(job.processed, device, estimates=estimates)
    hyper = dict(job.hyperparameters)
    torch.manual_seed(job.seed)
    kind = registry.load("methods", job.method, Method)
    own = {name: hyper[name] for name in kind.search_space}
    return kind(blueprint(data.schema, job.protocol.backbone), **own).to(device), data


def _tested(method: Method, data: Data) -> dict[str, Any]:
    scores = predict(method, data.test.table)
    return {
        "valid": evaluate(data.valid.labels, predict(method, data.valid.table)),
        **vars(assess(data.test.labels, scores)),
    }


@lru_cache(maxsize=1)
def _data(processed: Path, device: torch.device, *, estimates: bool) -> Data:
    data = Data.read(processed, device)
    if not estimates:
        return data
    from benchmark.training.nuisances import with_estimates  # noqa: PLC0415 (half a second)

    return with_estimates(data)
