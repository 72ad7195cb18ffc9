"""All pending tasks of the benchmark or a study, by workers here or on a cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path

import yaml

from benchmark.config import Launch, Protocol
from benchmark.execution.executors.executor import Executor
from benchmark.execution.jobs import workers
from benchmark.execution.run import run_tasks
from benchmark.execution.tasks import Task
from benchmark.studies import Workspace

CLUSTERS = {"slurm": ("slurm", "submitit>=1.5"), "ray": ("ray_cluster", "ray>=2.45")}
JOBS = 100
LOGS = Path(".launch")


def chosen(launch: Launch, on: str | None, count: str | None, options: str | None) -> Launch:
    """Return the section ``launch`` with what the command line changes in it.

    Raises:
        ValueError: not a number, a place or YAML.
    """
    try:
        given = yaml.safe_load(f"{{{options or ''}}}")
    except yaml.YAMLError as error:
        raise ValueError(f"--options {options!r} is no YAML, as in 'time: 240'") from error
    changes = {"on": on, "workers": count, "options": launch.options | given}
    named = {name: value for name, value in changes.items() if value is not None}
    return Launch.model_validate(launch.model_dump() | named)


def launch(place: Workspace, settings: Launch) -> None:
    """Run all tasks that are not finished; one that fails does not keep the others from running.

    Raises:
        RuntimeError: some failed, or what the cluster needs is not installed.
    """
    protocol = place.params.protocol
    tasks = [
        Task(folder, processed, method, protocol) for method, processed, folder in place.tasks()
    ]
    failures = run_tasks(tasks, _pool(settings, protocol))
    sentences = dict[str, list[Task]]()
    for task, error in failures:
        text = error.args[0] if isinstance(error, LookupError) and error.args else error
        sentences.setdefault(str(text) or type(error).__name__, []).append(task)
    for sentence, affected in sentences.items():
        more = f" and {len(affected) - 1} more" if len(affected) > 1 else ""
        print(f"{affected[0]}{more}: {sentence}")
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(tasks)} tasks failed; the rest is on record")


def _pool(settings: Launch, protocol: Protocol) -> AbstractContextManager[Executor]:
    if settings.on == "local":
        return workers(protocol, settings.workers)
    module, package = CLUSTERS[settings.on]
    try:
        found = import_module(f"benchmark.execution.executors.{module}")
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"to launch on {settings.on}, `pip install '{package}'` into this environment"
        ) from error
    executor: AbstractContextManager[Executor] = found.connect(
        LOGS.resolve(), settings.workers or JOBS, settings.options
    )
    return executor
