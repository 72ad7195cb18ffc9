"""Workers that do the fits: processes on this machine, or tasks of a cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path

from benchmark.config import Launch, Protocol
from benchmark.execution.executors.executor import Executor

CLUSTERS = {"slurm": "submitit>=1.5", "ray": "ray>=2.45"}
JOBS = 100
LOGS = Path(".launch")


def connect(settings: Launch, protocol: Protocol) -> AbstractContextManager[Executor]:
    """Return the workers that the settings ask for, to be opened as a context.

    Raises:
        RuntimeError: what the cluster needs is not installed.
    """
    if settings.on == "local":
        from benchmark.execution.jobs import workers  # noqa: PLC0415 (imports torch)

        return workers(protocol, settings.workers)
    try:
        module = import_module(f"benchmark.execution.executors.{settings.on}")
    except ModuleNotFoundError as error:
        package = CLUSTERS[settings.on]
        raise RuntimeError(
            f"to run on {settings.on}, `pip install '{package}'` into this environment"
        ) from error
    executor: AbstractContextManager[Executor] = module.connect(
        LOGS.resolve(), settings.workers or JOBS, settings.options
    )
    return executor
