"""Fits on record made again: does this checkout's code lead to the numbers that are published?

Code that was rearranged without a change of any number has other keys, and all records are out of
date. Where a sample of every task's fits comes out the same, its records may be adopted: they
get today's key, keep the commit that fitted them, and say how many fits were compared.
"""

from __future__ import annotations

import json
import math
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmark import registry
from benchmark.execution import predictions
from benchmark.execution.archive import INCIDENTAL
from benchmark.execution.executors.executor import Executor
from benchmark.execution.fitting import Job, Work
from benchmark.execution.provenance import SHOWN, describe, environment
from benchmark.execution.scoring import TOLERANCE, prepared
from benchmark.execution.tasks import Cell
from benchmark.sealing import read_whole, write_sealed
from benchmark.training.search import defaults

TRIALS = "trials"
REPLACED = frozenset({"code", "versions", "python"})  # what may differ of an adopted task


@dataclass(frozen=True)
class Remade:
    """A fit on record, and in which of its numbers the same fit made again differs."""

    task: Cell
    path: Path
    differences: tuple[str, ...]

    @property
    def where(self) -> str:
        """The record's place in the folder of its task."""
        return f"{self.path.parent.name}/{self.path.name}"


def verify(
    tasks: Sequence[Cell],
    opened: AbstractContextManager[Executor],
    fits: int = 1,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> list[Remade]:
    """Make a random sample of the fits on record again, and compare.

    The sample has up to ``fits`` of the final fits and as many trials of every task with records.
    Numbers may differ by ``tolerance``, relative to their size or absolute if that is less than 1.
    By default that is the rounding of sums, and the predictions have to be bit-identical.

    Raises:
        FileNotFoundError: nothing is on record, or the data were not prepared.
        Exception: a fit raised an error.
    """
    jobs = {path: (task, job) for task in tasks for path, job in _sample(task, fits, seed)}
    if not jobs:
        raise FileNotFoundError("no fit is on record; `python -m benchmark restore` brings back")
    remade = list[Remade]()
    with opened as executor, tqdm(total=len(jobs), desc="made again", unit="fit") as bar:
        futures: dict[Future[dict[str, Any]], Path] = {
            executor.submit(partial(_fitted, task.work), job): path
            for path, (task, job) in jobs.items()
        }
        for future in as_completed(futures):
            path = futures[future]
            differing = _differences(read_whole(path), future.result(), tolerance)
            remade.append(Remade(jobs[path][0], path, tuple(differing)))
            bar.update()
    return sorted(remade, key=lambda one: one.path)


def adopt(remade: Sequence[Remade]) -> Iterator[tuple[Cell, str | None]]:
    """Give records of other code today's keys where all of their sample came out the same.

    Yields every task with records under another key, and the reason where it was not adopted.
    """
    of = dict[Path, list[Remade]]()
    for one in remade:
        of.setdefault(one.task.folder, []).append(one)
    for folder, sample in of.items():
        task = sample[0].task
        recorded, now = read_whole(folder / "task.json"), _description(task)
        if recorded.get("key") != now["key"]:
            reason = _refusal(sample, recorded, now)
            if reason is None:
                before = recorded.get("adopted", {}).get("code", recorded["code"])
                adopted = {"code": before, "fits": len(sample)}
                more: dict[str, Any] = {"commit": recorded["commit"]}
                more |= {"adopted": adopted} if before != now["code"] else {}
                write_sealed(folder / "task.json", now | more)
            yield task, reason


def _refusal(
    sample: Sequence[Remade], recorded: Mapping[str, Any], now: Mapping[str, Any]
) -> str | None:
    changed = {name for name in now if name not in SHOWN and now[name] != recorded.get(name)}
    if others := sorted(changed - REPLACED - {"key"}):
        return f"it was fitted with other {', '.join(others)}"
    task = sample[0].task
    today = defaults(task.kind, task.protocol)
    for path in sorted(task.folder.glob("default/*.json")):
        if read_whole(path)["hyperparameters"] != today:
            return f"default/{path.name}: the method's defaults are others now"
    if all(remade.path.parent.name == TRIALS for remade in sample):
        return "none of its final fits was compared"
    differing = [remade for remade in sample if remade.differences]
    return f"{differing[0].where}: {differing[0].differences[0]}" if differing else None


def _description(task: Cell) -> dict[str, Any]:
    where = environment(task.protocol.device)
    return describe(task.schema, task.method, task.kind, task.protocol, where)


def _sample(task: Cell, fits: int, seed: int) -> Iterator[tuple[Path, Job]]:
    """Yield records of a task's folder and the fits that they are of."""
    draw = random.Random(f"{seed} {task.folder.name}")
    records = sorted(task.folder.glob("*/*.json"))
    for trials in (False, True):
        paths = [path for path in records if (path.parent.name == TRIALS) == trials]
        for path in draw.sample(paths, min(fits, len(paths))):
            yield path, _job(task, path)


def _job(task: Cell, path: Path) -> Job:
    """Return the fit of a record: its name has the number of its draw of the data."""
    record, numbers = read_whole(path), path.stem.split("-")
    trial = path.parent.name == TRIALS
    setting = task.setting
    folder = setting.tuning(int(numbers[1])) if trial else setting.replicate(int(numbers[0]))
    prepared(folder)
    return task.job(folder, record["hyperparameters"], record["seed"], final=not trial)


def _fitted(work: Work, job: Job) -> dict[str, Any]:
    """Return the record of a fit, as it would stand on disk."""
    with registry.located("methods", job.method):
        [record] = work([job])
    scores = record.pop("scores", None)
    if scores is not None:
        with tempfile.TemporaryDirectory() as folder:
            record["predictions"] = predictions.write(Path(folder) / "record.json", scores)
    content: dict[str, Any] = json.loads(json.dumps(record))
    return content | {"method": job.method}


def _differences(
    recorded: dict[str, Any], again: dict[str, Any], tolerance: float
) -> Iterator[str]:
    """Yield in which values two records differ; predictions that are not on record count as equal.

    Data are compared first: all else would differ with them.
    """
    if recorded.get("data") != again.get("data"):
        yield "the data are not those that it was fitted on"
        return
    ignored = set(INCIDENTAL)
    if tolerance > TOLERANCE or "predictions" not in recorded:
        ignored.add("predictions")
    first, second = (
        dict(_flat({name: value for name, value in record.items() if name not in ignored}))
        for record in (recorded, again)
    )
    for name in first | second:
        old, new = first.get(name), second.get(name)
        if old != new and not _close(old, new, tolerance):
            yield f"{name} is {new}, on record is {old}"


def _close(old: Any, new: Any, tolerance: float) -> bool:
    numbers = isinstance(old, int | float) and isinstance(new, int | float)
    return numbers and math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values within nested objects and lists, by their dotted names."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
