"""Tasks of one method on one folder of splits, run in this process."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from benchmark.config import Protocol
from benchmark.execution.archive import outcomes
from benchmark.execution.executors.executor import Executor
from benchmark.execution.run import run_tasks
from benchmark.execution.tasks import Task
from benchmark.studies import Setting

REPLICATES = 2


def task(
    folder: Path, processed: Path, method: str, protocol: Protocol, replicates: int = REPLICATES
) -> Task:
    """Return the task of a method on a dataset that has no adapter here."""
    setting = Setting(processed.name, processed.name, {}, processed)
    return Task(folder, setting, method, protocol, replicates)


def run(
    folder: Path,
    processed: Path,
    method: str,
    protocol: Protocol,
    replicates: int = REPLICATES,
    *,
    opened: AbstractContextManager[Executor | None] | None = None,
) -> None:
    """Run a task, by default in this process; raise what it failed of."""
    one = task(folder, processed, method, protocol, replicates)
    for _, error in run_tasks([one], nullcontext() if opened is None else opened):
        raise error


def records(folder: Path) -> dict[str, Any]:
    """Return every fit on record of a task, but for the time that it took."""
    return {path: record for path, record in outcomes(folder).items() if "/" in path}
