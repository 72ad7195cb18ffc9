"""Training jobs and their records: any number of workers, the same records.

The contract of one job: whoever does it writes its record, whole or not at all, if it is not there
yet and if the worker is what the task's key says. Doing it twice, or killing it, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from tqdm import tqdm

from benchmark.config import Protocol
from benchmark.declarations import method_of
from benchmark.errors import BenchmarkError, locate
from benchmark.execution import predictions
from benchmark.execution.executors.executor import Executor
from benchmark.execution.executors.local import LocalExecutor, cores, visible
from benchmark.execution.fitting import Job, Work, resolve_device
from benchmark.execution.limits import time_limit
from benchmark.execution.promises import check_records, explained
from benchmark.execution.provenance import describe, environment
from benchmark.sealing import read_sealed, write_sealed
from benchmark.splits import check_whole, schema_of


class ForeignError(BenchmarkError):
    """A worker's record would not be what the key of its task says."""


@dataclass(frozen=True)
class JobGroup:
    """Jobs of one task to be done by one worker, by the paths of their records.

    The paths are two levels below ``task.json``. A job may take ``seconds``, or any time.
    """

    jobs: Mapping[Path, Job]
    work: Work
    seconds: float | None = None

    @property
    def allowed(self) -> float | None:
        """The seconds that all jobs together may take."""
        return None if self.seconds is None else self.seconds * len(self.jobs)

    def __str__(self) -> str:
        first, *others = self.jobs
        job = self.jobs[first]
        more = f" and {len(others)} more" if others else ""
        where = f"{self.folder.parent.name}, {first.parent.name}/{first.stem}"
        return f"{job.method} on {where}{more}"

    @property
    def folder(self) -> Path:
        """The folder of the task."""
        return next(iter(self.jobs)).parent.parent

    def records(self) -> dict[Path, dict[str, Any]]:
        """Return what is on record."""
        records = {path: read_sealed(path) for path in self.jobs}
        return {
            path: record for path, record in records.items() if record and self._fits(path, record)
        }

    def _fits(self, path: Path, record: Mapping[str, Any]) -> bool:
        """Tell whether a record is of the job, and of the data as they are now."""
        job = self.jobs[path]
        own = {
            "method": job.method,
            "hyperparameters": dict(job.hyperparameters),
            "seed": job.seed,
            "data": schema_of(job.processed).fingerprint,
        }
        return {name: record.get(name) for name in own} == own


@dataclass(frozen=True)
class Queue:
    """Has the jobs done that are not on record yet, by a pool or else by this process.

    Queues share a lock: this process trains one model at a time, as random numbers are its own.
    """

    executor: Executor | None
    bar: tqdm[Any]
    work: Work
    lock: RLock
    seconds: float | None = None  # that a fit may take

    def collect(
        self, jobs: Mapping[Path, Job], *, vectorized: bool = False
    ) -> list[dict[str, Any]]:
        """Return the records of all jobs, in their order.

        Jobs that are ``vectorized`` are one worker's, all of them even if some are on record: so no
        number depends on how many workers there are, or on what a killed one left.
        """
        known = {path.resolve(): job for path, job in jobs.items()}
        parts = [known] if vectorized and known else [{path: job} for path, job in known.items()]
        groups = [JobGroup(part, self.work, self.seconds) for part in parts]
        records = {path: record for group in groups for path, record in group.records().items()}
        self._count(len(records))
        pending = [group for group in groups if not records.keys() >= group.jobs.keys()]
        records |= (
            self._here(pending) if self.executor is None else self._there(self.executor, pending)
        )
        return [records[path] for path in known]

    def _here(self, groups: Iterable[JobGroup]) -> dict[Path, dict[str, Any]]:
        records = dict[Path, dict[str, Any]]()
        with self.lock:
            for group in groups:
                left = len(group.jobs) - len(group.records())
                records |= perform(group)
                self._count(left)
        return records

    def _there(self, executor: Executor, groups: Sequence[JobGroup]) -> dict[Path, dict[str, Any]]:
        left = [len(group.jobs) - len(group.records()) for group in groups]
        futures = {
            executor.submit(perform, group): n for group, n in zip(groups, left, strict=True)
        }
        for future in as_completed(futures):
            self._count(futures[future] * (future.exception() is None))
        return {path: record for future in futures for path, record in future.result().items()}

    def skip(self, fits: int) -> None:
        """Let fits that turned out to be needless be no part of the total."""
        with self.lock:
            self.bar.total = (self.bar.total or 0) - fits
            self.bar.refresh()

    def _count(self, done: int) -> None:
        with self.lock:
            self.bar.update(done)


def perform(group: JobGroup) -> dict[Path, dict[str, Any]]:
    """Do jobs unless they are done, put them on record, and return the records.

    Raises:
        DamagedError: the splits are not what was written.
        ForeignError: this worker, its code or its data are not those of the task.
        PluginError: the method's file raised an error, or returned something else than it must.
        TimeLimitError: the jobs took longer than they may.
    """
    try:
        return _performed(group)
    except Exception as error:
        locate(error)
        raise


def _performed(group: JobGroup) -> dict[Path, dict[str, Any]]:
    records = group.records()
    if records.keys() >= group.jobs.keys():
        return records
    key = _checked(group)
    for job in group.jobs.values():
        check_whole(job.processed)
    first = next(iter(group.jobs.values()))
    with time_limit(group.allowed), explained(first):
        done = group.work(list(group.jobs.values()))
    check_records(first, done)
    fitted = dict(zip(group.jobs, done, strict=True))
    if _claimed(group).get("key") != key:
        raise ForeignError(f"{group}: its folder was given to other params or code meanwhile")
    fitted = {
        path: _kept(path, record | {"method": first.method})
        for path, record in fitted.items()
        if path not in records
    }
    return fitted | records


def _kept(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Write a record, and before it the predictions on which it rests; return the record."""
    scores = record.pop("scores", None)
    if scores is not None:
        record["predictions"] = predictions.write(path, scores)
    write_sealed(path, record)
    return record


def workers(protocol: Protocol, count: int | None = None) -> LocalExecutor:
    """Return one-thread processes, one per core, or one per GPU if such a device does the work."""
    gpus = torch.cuda.device_count() if resolve_device(protocol.device).type == "cuda" else 0
    return LocalExecutor(count or gpus or cores(), visible(gpus) if gpus else ())


def _claimed(group: JobGroup) -> dict[str, Any]:
    return read_sealed(group.folder / "task.json") or {}


def _checked(group: JobGroup) -> str:
    """Return the key of what this worker would train, which must be that of the task."""
    job, claimed = next(iter(group.jobs.values())), _claimed(group)
    kind, here = method_of(job.method), environment(job.protocol.device)
    mine = describe(schema_of(job.first), job.method, kind, job.protocol, here)
    if claimed.get("key") == (key := str(mine["key"])):
        return key
    changed = [name for name in mine if name != "key" and mine[name] != claimed.get(name)]
    devices = f" ({mine['device']}, not {claimed.get('device')})" if "device" in changed else ""
    raise ForeignError(
        f"{group}: its task was begun with other {', '.join(changed)}{devices} than this worker "
        "has; let all workers be alike and leave the code as it is, then run it again"
    )
