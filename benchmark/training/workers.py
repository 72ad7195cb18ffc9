"""Training jobs and their records: any number of workers, the same records.

The contract of one job: whoever does it writes its record, whole or not at all, if it is not there
yet and if the worker is what the task's key says. Doing it twice, or killing it, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from tqdm import tqdm

from benchmark import registry
from benchmark.files import read_json, write_json
from benchmark.params import Protocol
from benchmark.pools.local import Local, cores, visible
from benchmark.pools.pool import Pool
from benchmark.schema import Schema
from benchmark.training.method import Method
from benchmark.training.provenance import describe, environment, resolve_device


class ForeignError(RuntimeError):
    """A worker's record would not be what the key of its task says."""


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
class Order:
    """A job, the work to do on it, and the path of its record, two levels below ``task.json``."""

    path: Path
    job: Job
    work: Callable[[Job], dict[str, Any]]

    def __str__(self) -> str:
        what = f"{self.path.parent.name}/{self.path.stem}"
        return f"{self.job.method} on {self.job.ready.name}, {what}"

    def record(self) -> dict[str, Any] | None:
        """Return what is on record, None if nothing is."""
        if not self.path.is_file():
            return None
        record: dict[str, Any] = read_json(self.path)
        return record if record["hyperparameters"] == dict(self.job.hyperparameters) else None


@dataclass(frozen=True)
class Queue:
    """Has the jobs done that are not on record yet, by a pool or else by this process."""

    pool: Pool | None
    bar: tqdm[Any]
    work: Callable[[Job], dict[str, Any]]
    lock: RLock = field(default_factory=RLock)

    def collect(self, jobs: Mapping[Path, Job]) -> list[dict[str, Any]]:
        """Return the records of all jobs, in their order."""
        orders = [Order(path.resolve(), job, self.work) for path, job in jobs.items()]
        records = {order.path: order.record() for order in orders}
        pending = [order for order in orders if records[order.path] is None]
        self._count(len(orders) - len(pending))
        records |= self._here(pending) if self.pool is None else self._there(self.pool, pending)
        return [record for record in records.values() if record is not None]

    def _here(self, orders: Iterable[Order]) -> dict[Path, dict[str, Any]]:
        records = {}
        with self.lock:
            for order in orders:
                records[order.path] = perform(order)
                self._count(1)
        return records

    def _there(self, pool: Pool, orders: Iterable[Order]) -> dict[Path, dict[str, Any]]:
        futures = {order.path: pool.submit(perform, order) for order in orders}
        for future in as_completed(futures.values()):
            self._count(future.exception() is None)
        return {path: future.result() for path, future in futures.items()}

    def _count(self, done: int) -> None:
        with self.lock:
            self.bar.update(done)


def perform(order: Order) -> dict[str, Any]:
    """Do a job unless it is done, put it on record, and return the record.

    Raises:
        ForeignError: this worker, its code or its data are not those of the task.
    """
    if (record := order.record()) is not None:
        return record
    key = _checked(order)
    record = order.work(order.job)
    if _claimed(order).get("key") != key:
        raise ForeignError(f"{order}: its folder was given to other params or code meanwhile")
    write_json(order.path, record)
    return record


def workers(protocol: Protocol, count: int | None = None) -> Local:
    """Return one-thread processes, one per core, or one per GPU if such a device does the work."""
    gpus = torch.cuda.device_count() if resolve_device(protocol.device).type == "cuda" else 0
    return Local(count or gpus or cores(), visible(gpus) if gpus else ())


def _claimed(order: Order) -> dict[str, Any]:
    path = order.path.parent.parent / "task.json"
    return read_json(path) if path.is_file() else {}


def _checked(order: Order) -> str:
    """Return the key of what this worker would train, which must be that of the task."""
    job, claimed = order.job, _claimed(order)
    kind, here = registry.load("methods", job.method, Method), environment(job.protocol.device)
    mine = describe(Schema.read(job.ready), job.method, kind, job.protocol, here)
    if claimed.get("key") == (key := str(mine["key"])):
        return key
    changed = [name for name in mine if name != "key" and mine[name] != claimed.get(name)]
    devices = f" ({mine['device']}, not {claimed.get('device')})" if "device" in changed else ""
    raise ForeignError(
        f"{order}: its task was begun with other {', '.join(changed)}{devices} than this worker "
        "has; let all workers be alike and leave the code as it is, then run it again"
    )
