"""All pending tasks of the benchmark or a study, by workers here or on a cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path

from benchmark.config import Launch, Protocol
from benchmark.configuration.documents import Node, Place, parse
from benchmark.configuration.mistakes import validated
from benchmark.errors import sentence
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
    given = {"on": on, "workers": count, "options": options and f"{{{options}}}"}
    node = Node({}, Place("command line"))
    for name, text in given.items():
        if text is not None:
            value = parse(text, f"--{name}", lines=False)
            node = node.merged(Node({name: value}, node.place))
    changes = validated(Launch, node)
    named = changes.model_dump(exclude_unset=True)
    if "options" in named:
        named["options"] = {**launch.options, **changes.options}
    return launch.model_copy(update=named)


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
        sentences.setdefault(sentence(error), []).append(task)
    for text, affected in sentences.items():
        more = f" and {len(affected) - 1} more" if len(affected) > 1 else ""
        print(f"{affected[0]}{more}: {text}")
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
