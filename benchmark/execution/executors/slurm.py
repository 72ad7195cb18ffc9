"""Workers as jobs of a SLURM cluster, submitted as arrays by submitit.

A job that SLURM preempts queues again by itself; one that died without a result is submitted
again. Whether a job is still in the queue is asked of ``squeue``, which needs no accounting.
"""

from __future__ import annotations

import getpass
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from secrets import token_hex
from time import monotonic, strftime
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

import submitit
from submitit.core.utils import FailedJobError

from benchmark.execution.executors.executor import ATTEMPTS, LostError

DEFAULTS = {"job_name": "benchmark", "time": 120, "cpus_per_task": 1}
OVER = "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED TIMEOUT"

A = TypeVar("A")
R = TypeVar("R")


@dataclass
class _Work:
    """What a job is to do, as often as was tried, and where the result will be."""

    function: Callable[[Any], Any]
    argument: Any
    future: Future[Any] = field(default_factory=Future)
    attempts: int = 0
    missed: float | None = None  # when the job was first out of the queue, without a result


class Slurm:
    """At most ``workers`` jobs in the queue, each for one piece of work.

    ``options`` are those of ``sbatch`` that submitit knows, with underscores: partition, time (in
    minutes), mem, gpus_per_node, account, constraint; ``additional_parameters`` takes any other.
    Logs and what travels between the processes lie below ``folder``. Of a job that is out of the
    queue, a result is awaited for ``patience`` seconds: NFS may hide a new file for a minute.

    Raises:
        RuntimeError: there is no SLURM here.
        ValueError: submitit has no such option.
    """

    remote = True
    executor: ClassVar[type[submitit.core.core.PicklingExecutor]] = submitit.SlurmExecutor
    patience: float = 60.0

    def __init__(
        self, folder: Path, workers: int, options: Mapping[str, Any], *, seconds: float = 2.0
    ) -> None:
        # A fit that runs out of time would do so again: such a job is not repeated.
        # Clusters count jobs anew at times: logs of another launch could be taken for results.
        own = folder / f"{strftime('%Y-%m-%d-%H%M%S')}-{token_hex(3)}"
        self._executor = self.executor(own, max_num_timeout=0)
        try:
            self._executor.update_parameters(**{**DEFAULTS, **options})
        except ValueError as error:
            what, *lines = str(error).splitlines()
            known = ", ".join(line.split()[1] for line in lines if line.startswith("  - "))
            raise ValueError(f"options of the launch: {what}; allowed are {known}") from error
        self._workers, self._seconds = workers, seconds
        self._waiting = SimpleQueue[_Work]()
        self._sent = dict[submitit.Job[Any], _Work]()
        self._closed, self._entrance = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()
        self.cancel(list(self._sent))

    def submit(self, function: Callable[[A], R], argument: A, /) -> Future[R]:
        """Submit it with what else there is to submit then."""
        work = _Work(function, argument)
        with self._entrance:
            if self._closed.is_set():
                raise CancelledError
            self._waiting.put(work)
        return work.future

    def queued(self, jobs: Sequence[submitit.Job[Any]]) -> set[str] | None:
        """Return which jobs wait or run; None if SLURM does not say."""
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T"]
        answer = subprocess.run(
            [*command, f"--user={getpass.getuser()}"], capture_output=True, text=True, check=False
        )
        states = (line.split() for line in answer.stdout.splitlines())
        alive = {number for number, state in states if state not in OVER.split()}
        return None if answer.returncode else alive

    def cancel(self, jobs: Sequence[submitit.Job[Any]]) -> None:
        """End jobs, also those that run."""
        if jobs:
            subprocess.run(["scancel", *(job.job_id for job in jobs)], check=False)

    def _serve(self) -> None:
        try:
            while not self._closed.wait(self._seconds):
                self._send()
                self._receive()
        finally:
            with self._entrance:  # whoever came in before is told below, nobody comes in after
                self._closed.set()
            for work in (*self._sent.values(), *self._next(None)):
                work.future.set_exception(CancelledError())

    def _next(self, limit: int | None) -> list[_Work]:
        works = list[_Work]()
        while limit is None or len(works) < limit:
            try:
                works.append(self._waiting.get_nowait())
            except Empty:
                break
        return works

    def _send(self) -> None:
        if not (works := self._next(self._workers - len(self._sent))):
            return
        try:
            jobs = self._executor.map_array(
                _Perform(), [w.function for w in works], [w.argument for w in works]
            )
        except (FailedJobError, OSError) as error:
            for work in works:
                self._again(work, RuntimeError(f"the cluster takes no jobs: {error}"))
            return
        self._sent |= dict(zip(jobs, works, strict=True))

    def _receive(self) -> None:
        alive = self.queued(list(self._sent)) if self._sent else None
        for job, work in list(self._sent.items()):
            if _has_result(job):
                self._settle(work, job)
            elif self._is_lost(work, job, alive):
                self._again(work, LostError(work.argument, f"see {job.paths.stderr}"))
            else:
                continue
            del self._sent[job]

    def _is_lost(self, work: _Work, job: submitit.Job[Any], alive: set[str] | None) -> bool:
        """Tell whether no result is to be expected; file systems may show one late."""
        if alive is None or job.job_id in alive:
            work.missed = None
            return False
        now = monotonic()
        work.missed = now if work.missed is None else work.missed
        return now - work.missed >= self.patience

    def _settle(self, work: _Work, job: submitit.Job[Any]) -> None:
        try:
            value, error = job.result()
        except (FailedJobError, submitit.core.utils.UncompletedJobError) as failure:
            value, error = None, failure
        if error is None:
            work.future.set_result(value)
        else:
            work.future.set_exception(error)

    def _again(self, work: _Work, error: Exception) -> None:
        work.attempts, work.missed = work.attempts + 1, None
        if work.attempts < ATTEMPTS:
            self._waiting.put(work)
        else:
            work.future.set_exception(error)


def _has_result(job: submitit.Job[Any]) -> bool:
    """Look for a result anew: setting the folder's mode to what it is empties NFS's memory."""
    folder = job.paths.folder
    with suppress(OSError):
        folder.chmod(folder.stat().st_mode)
    return job.paths.result_pickle.exists()


class _Perform:
    """Call a function in a job; SLURM may stop it, and begins it again from the start."""

    def __call__(
        self, function: Callable[[A], R], argument: A
    ) -> tuple[R | None, Exception | None]:
        try:
            return function(argument), None
        except Exception as error:  # noqa: BLE001 (raised where the result is awaited)
            return None, error

    def checkpoint(self, *arguments: Any) -> submitit.helpers.DelayedSubmission:
        """Queue again with the same arguments, as submitit asks when SLURM preempts."""
        return submitit.helpers.DelayedSubmission(self, *arguments)


connect = Slurm
