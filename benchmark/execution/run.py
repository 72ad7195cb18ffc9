"""Running tasks: all that are pending, side by side, with the same workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from threading import RLock
from typing import Any

from tqdm import tqdm

from benchmark.config import BackboneParams, Launch
from benchmark.configuration.documents import Location, Node, parse
from benchmark.configuration.mistakes import validated
from benchmark.declarations import method_of
from benchmark.errors import sentence
from benchmark.execution.capacity import matched, parameters
from benchmark.execution.executors import connect
from benchmark.execution.executors.executor import Executor
from benchmark.execution.jobs import Queue
from benchmark.execution.provenance import environment
from benchmark.execution.tasks import Candidates, Cell, Reference, Task
from benchmark.metrics.criteria import check_name
from benchmark.references import widened
from benchmark.schema import Schema
from benchmark.studies import Setting, Workspace

Failure = tuple[Cell, BaseException]


def run(
    workspace: Workspace,
    settings: Launch,
    setting: str | None = None,
    method: str | None = None,
    *,
    strict: bool = False,
) -> None:
    """Run all tasks of a study that are not finished, or those of one setting or method.

    A task that fails is put on record with its reason and does not keep the others from running.

    Raises:
        LookupError: there is no such setting or method, or the selection metric is no criterion.
        RuntimeError: ``strict``, and a task failed.
    """
    for params in workspace.params.and_variants():
        check_name(params.protocol.selection_metric)
    cells = tasks(workspace, setting, method)
    limit = None if settings.time_limit is None else 60 * settings.time_limit
    failures = run_tasks(cells, connect(settings, workspace.params.protocol), limit)
    for text, affected in _by_sentence(failures).items():
        more = f" and {len(affected) - 1} more" if len(affected) > 1 else ""
        print(f"warning: {affected[0]}{more} failed: {text}", file=sys.stderr)
    if failures:
        summary = f"{len(failures)} of {len(cells)} tasks failed; the others are on record"
        if strict:
            raise RuntimeError(summary)
        print(f"warning: {summary}, and the report says which failed and why", file=sys.stderr)


def overridden(
    launch: Launch,
    on: str | None = None,
    workers: str | None = None,
    options: str | None = None,
) -> Launch:
    """Return the section ``launch`` with what the command line changes in it.

    Raises:
        ValueError: not a number, a place or YAML.
    """
    texts = {"on": on, "workers": workers, "options": options and f"{{{options}}}"}
    node = Node({}, Location("command line"))
    for name, text in texts.items():
        if text is not None:
            value = parse(text, f"--{name}", lines=False)
            node = node.merged(Node({name: value}, node.location))
    changes = validated(Launch, node)
    named = changes.model_dump(exclude_unset=True)
    if "options" in named:
        named["options"] = {**launch.options, **changes.options}
    return launch.model_copy(update=named)


def tasks(
    workspace: Workspace, setting: str | None = None, method: str | None = None
) -> list[Cell]:
    """Return the tasks of a study: all, or those of one setting or method.

    Raises:
        LookupError: there is no such setting or method.
    """
    params, settings = workspace.params, {at.name: at for at in workspace.settings()}
    pairs = [
        (settings[name], own)
        for name in _chosen("setting", setting, tuple(settings))
        for own in _chosen("method", method, params.methods)
    ]

    def cell(at: Setting, own: str) -> Cell:
        protocol = workspace.params_of(at).protocol.of(own)
        arguments = (workspace.runs / at.name / own, at, own, protocol, params.replicates)
        selection = params.selection
        return (
            Task(*arguments) if selection is None else Candidates(*arguments, selection.candidates)
        )

    cells = [cell(at, own) for at, own in pairs]
    if params.selection is not None or params.leaderboard.reference not in params.methods:
        return cells
    return [*cells, *_references([task for task in cells if isinstance(task, Task)], workspace)]


def _references(tasks: Sequence[Task], workspace: Workspace) -> Iterator[Reference]:
    """Yield the reference with as many parameters as the tasks' methods have, by setting."""
    params = workspace.params
    reference = str(params.leaderboard.reference)
    kind = method_of(reference)
    backbones = dict[Any, dict[int, BackboneParams]]()  # settings mostly have the same fields
    for setting in {task.setting.name: task.setting for task in tasks}.values():
        if (schema := setting.schema) is None:
            continue
        own = workspace.params_of(setting).protocol
        if (fields := (schema.fields, schema.offers, setting.variant)) not in backbones:
            counts = _counts([task for task in tasks if task.setting is setting], schema)
            backbones[fields] = matched(kind, counts, schema, own.backbone)
        for count, backbone in backbones[fields].items():
            protocol = own.of(reference).model_copy(update={"backbone": backbone})
            folder = workspace.runs / setting.name / widened(reference, count)
            yield Reference(folder, setting, reference, protocol, params.replicates)


def _counts(tasks: Sequence[Task], schema: Schema) -> Iterator[int]:
    for task in tasks:
        try:
            if task.kind.missing(schema) is None:
                yield parameters(task.kind, schema, task.protocol.backbone)
        except Exception:  # noqa: BLE001 (the task itself reports whatever a method's file raises)
            continue


def _chosen(kind: str, name: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if name is not None and name not in known:
        raise LookupError(f"params.yaml has no {kind} {name!r}; it has {', '.join(known)}")
    return known if name is None else (name,)


def run_tasks(
    tasks: Sequence[Cell],
    opened: AbstractContextManager[Executor | None],
    seconds: float | None = None,
) -> list[Failure]:
    """Run tasks side by side with the same workers; return which failed, and why.

    A fit that takes more than so many ``seconds``, if they are given, fails.

    A search waits for each of its batches, so that workers have something to do only if there is
    other work: each task has threads of its own. Where workers may be elsewhere, one of them says
    what its device and libraries are, which is part of every key.
    """
    with ThreadPoolExecutor(max(1, 2 * len(tasks))) as threads, opened as executor, _bar() as bar:
        where = _environment(tasks[0].protocol.device, executor) if tasks else {}
        prepared = [(task, _prepared(task, where)) for task in tasks]
        pending = [task for task, state in prepared if state is True]
        bar.total = sum(task.fits for task in pending)
        bar.set_description(str(tasks[0]) if len(tasks) == 1 else f"{len(pending)} tasks")
        lock = RLock()
        begun = [
            (task, threads.submit(part, Queue(executor, bar, task.work, lock, seconds)))
            for task in pending
            for part in task.parts()
        ]
        _await([future for _, future in begun])
        failures: list[Failure] = [
            (task, state) for task, state in prepared if isinstance(state, Exception)
        ]
        ended = ((task, future.exception()) for task, future in begun)
        failures += [(task, error) for task, error in ended if error is not None]
    for task, error in failures:
        task.fail(error)
    return [(task, error) for task, error in _first_of_each(failures) if not task.is_skipped]


def _first_of_each(failures: Sequence[Failure]) -> list[Failure]:
    first = {str(task): (task, error) for task, error in reversed(failures)}
    return list(reversed(first.values()))


def _by_sentence(failures: Sequence[Failure]) -> dict[str, list[Cell]]:
    affected = dict[str, list[Cell]]()
    for task, error in failures:
        affected.setdefault(sentence(error), []).append(task)
    return affected


def _bar() -> tqdm[Any]:
    return tqdm(desc="waiting for a worker", unit="fit")


def _environment(device: str, executor: Executor | None) -> dict[str, Any]:
    if executor is None or not executor.remote:
        return environment(device)
    future = executor.submit(environment, device)
    _await([future])
    return future.result()


def _await(futures: Sequence[Future[Any]]) -> None:
    """Wait with pauses, in which an interrupt is heard: not every system breaks off a wait."""
    while wait(futures, timeout=0.5).not_done:
        pass


def _prepared(task: Cell, where: Mapping[str, Any]) -> bool | Exception:
    try:
        return task.prepare(where)
    except Exception as error:  # noqa: BLE001 (a method's file may raise anything when imported)
        return error
