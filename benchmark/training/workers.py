"""Training jobs and the processes that do them: any number of workers, the same records."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmark.files import read_json, write_json
from benchmark.params import Protocol
from benchmark.training.provenance import resolve_device


@dataclass(frozen=True)
class Job:
    """One training run: what, on which data, with which hyper-parameters and seed."""

    ready: Path
    method: str
    protocol: Protocol
    hyperparameters: tuple[tuple[str, Any], ...]
    seed: int
    final: bool  # evaluate on test, which trials never see


@dataclass(frozen=True)
class Queue:
    """Runs the jobs that are not on record yet, each into a file of its own."""

    pool: ProcessPoolExecutor | None
    bar: tqdm[Any]
    work: Callable[[Job], dict[str, Any]]

    def collect(self, jobs: Mapping[Path, Job]) -> list[dict[str, Any]]:
        """Return the records of all jobs, in their order."""
        pending = {path: job for path, job in jobs.items() if not _on_record(path, job)}
        self.bar.update(len(jobs) - len(pending))
        for path, record in self._finished(pending):
            write_json(path, record)
            self.bar.update()
        return [read_json(path) for path in jobs]

    def _finished(self, jobs: dict[Path, Job]) -> Iterator[tuple[Path, dict[str, Any]]]:
        if self.pool is None:
            yield from ((path, self.work(job)) for path, job in jobs.items())
            return
        futures = {self.pool.submit(self.work, job): path for path, job in jobs.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()


@contextmanager
def workers(protocol: Protocol) -> Iterator[ProcessPoolExecutor | None]:
    """Yield one-thread processes, one per core; none where a GPU does the work."""
    if resolve_device(protocol.device).type != "cpu":
        yield None
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pool = ProcessPoolExecutor(cores, get_context("spawn"), _ignore_interrupt)
    try:
        yield pool
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _on_record(path: Path, job: Job) -> bool:
    return path.is_file() and read_json(path)["hyperparameters"] == dict(job.hyperparameters)
