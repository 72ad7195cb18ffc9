"""Workers as tasks of a Ray cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from benchmark.execution.executors.executor import ATTEMPTS, LostError
from benchmark.plugin_folders import VARIABLE, added
from benchmark.registry import ROOT

A = TypeVar("A")
R = TypeVar("R")


class Ray:
    """Tasks wherever the cluster has room; ``workers`` is the number of cores of one started here.

    ``options`` are ``address``, of a cluster that runs ("auto" finds the one of this machine), and
    those of a Ray task: num_cpus, num_gpus, memory, resources.
    """

    remote = True

    def __init__(self, _: Path, workers: int, options: Mapping[str, Any]) -> None:
        self._options = {"num_cpus": 1, "max_retries": ATTEMPTS - 1, **options}
        self._address = self._options.pop("address", "local")
        self._workers = workers if self._address == "local" else None
        self._closed = False
        self._open = set[Future[Any]]()

    def __enter__(self) -> Self:
        plugins = [str(folder) for folder in added()]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        ray.init(
            address=self._address,
            num_cpus=self._workers,
            runtime_env={"env_vars": {"PYTHONPATH": path, VARIABLE: json.dumps(plugins)}},
            include_dashboard=False if self._address == "local" else None,
            log_to_driver=False,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        self._closed = True
        ray.shutdown()
        for future in list(self._open):  # callbacks take some out meanwhile
            if self._taken(future):
                future.set_exception(CancelledError())

    def submit(self, function: Callable[[A], R], argument: A, /) -> Future[R]:
        """Do it as a Ray task, which Ray repeats if its worker or node dies."""
        if self._closed:
            raise CancelledError
        task = ray.remote(**self._options)(function).remote(argument)
        outer = Future[R]()
        self._open.add(outer)
        task.future().add_done_callback(lambda inner: self._settle(outer, inner, argument))
        return outer

    def _settle(self, outer: Future[Any], inner: Future[Any], argument: object) -> None:
        if not self._taken(outer):
            return
        error = inner.exception()
        if isinstance(error, NodeDiedError | OutOfMemoryError | WorkerCrashedError):
            error = LostError(argument)
        if isinstance(error, RayTaskError):
            error = error.cause  # whose text is a sentence, not the traceback of the worker
        if error is None:
            outer.set_result(inner.result())
        else:
            outer.set_exception(error)

    def _taken(self, future: Future[Any]) -> bool:
        """Take out what is open; only one thread is told that it did."""
        try:
            self._open.remove(future)
        except KeyError:
            return False
        return True


connect = Ray
