"""Worker processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from queue import SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

from benchmark.execution.executors.executor import ATTEMPTS, LostError

VISIBLE = "CUDA_VISIBLE_DEVICES"

A = TypeVar("A")
R = TypeVar("R")


def cores() -> int:
    """Return how many cores this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return usable or 1


def visible(gpus: int) -> list[str]:
    """Return what names each GPU that this process sees."""
    return os.environ[VISIBLE].split(",") if os.environ.get(VISIBLE) else [*map(str, range(gpus))]


class LocalExecutor:
    """Processes that take turns on the GPUs, if there are any.

    Each is an executor of its own: one that dies takes nobody's work with it but its own.
    """

    remote = False

    def __init__(self, workers: int, gpus: Sequence[str] = ()) -> None:
        self._threads = ThreadPoolExecutor(workers)
        self._idle = SimpleQueue[_Worker]()
        self._closed = False
        for number in range(workers):
            self._idle.put(_Worker(gpus[number % len(gpus)] if gpus else None))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        self._closed = True
        if kind is not None:
            for process in multiprocessing.active_children():
                process.terminate()
        self._threads.shutdown()
        while not self._idle.empty():
            self._idle.get().stop()

    def submit(self, function: Callable[[A], R], argument: A, /) -> Future[R]:
        """Do it in the next process that is idle."""
        if self._closed:
            raise CancelledError
        return self._threads.submit(self._attempt, function, argument)

    def _attempt(self, function: Callable[[A], R], argument: A) -> R:
        worker = self._idle.get()
        try:
            for _ in range(ATTEMPTS):
                if self._closed:
                    raise CancelledError
                try:
                    return worker.do(function, argument)
                except BrokenProcessPool:
                    worker.replace()
        finally:
            self._idle.put(worker)
        if self._closed:
            raise CancelledError
        raise LostError(argument)


class _Worker:
    """A process that starts when it is first needed."""

    def __init__(self, gpu: str | None) -> None:
        self._gpu = gpu
        self._process = self._new()

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, get_context("spawn"), _prepare, (self._gpu,))

    def do(self, function: Callable[[A], R], argument: A) -> R:
        return self._process.submit(function, argument).result()

    def replace(self) -> None:
        self.stop()
        self._process = self._new()

    def stop(self) -> None:
        self._process.shutdown(cancel_futures=True)


def _prepare(gpu: str | None) -> None:
    """Leave interrupts to the parent, end with it however it ends, and see one GPU only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if gpu is not None:
        os.environ[VISIBLE] = gpu


def _end_with_parent() -> None:
    """Wait for the end of the parent, which may be killed, and give up what this process holds."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
