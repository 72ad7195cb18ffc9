"""The methods of a dataset compared in one metric: intervals, differences, verdicts and marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.config import Leaderboard
from benchmark.references import is_matched
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.records import Task
from benchmark.reporting.statistics import (
    Difference,
    Interval,
    differences,
    equivalent,
    interval,
    not_worse_than_best,
)

FEW = 30  # positives, below which no value is marked as best


@dataclass(frozen=True)
class Gain:
    """How much better a method is than a reference; ``equivalent`` if less than the margin."""

    difference: Difference
    equivalent: bool
    over: str

    @property
    def verdict(self) -> str:
        """What may be said of it at the level of the table."""
        if self.difference.better or self.difference.worse:
            found = "better" if self.difference.better else "worse"
            return f"{found}, but equivalent" if self.equivalent else found
        return "equivalent" if self.equivalent else "undecided"


@dataclass(frozen=True)
class Cell:
    """A metric of a method; ``best`` if no method is significantly better.

    ``gain`` is over the reference, ``matched`` over the one of the same capacity, ``tuning`` that
    of the tuned hyper-parameters over the default ones, whose values ``default`` has. ``few``
    tells that the population has few positives.
    """

    interval: Interval
    values: Array
    best: bool
    style: str
    gain: Gain | None = None
    matched: Gain | None = None
    default: Interval | None = None
    tuning: Gain | None = None
    few: bool = False

    def text(self, plus_minus: str = " ± ") -> str:
        """Return mean and interval, with a dagger where positives are few."""
        return self.interval.text(self.style, plus_minus) + ("†" if self.few else "")


def column(
    metric: Metric, tasks: Sequence[Task], params: Leaderboard, widened: Sequence[Task] = ()
) -> dict[str, Cell | None]:
    """Compare the methods in a metric; None for those in which it is undefined.

    ``widened`` are fits of the reference with more parameters.
    """
    values = defined(metric, tasks)
    cells: dict[str, Cell | None] = dict.fromkeys(task.method for task in tasks)
    if not values:
        return cells
    known = [task for task in tasks if task.method in values]
    best = not_worse_than_best(
        metric.measure.cost(np.array(list(values.values()))), params.confidence
    )
    over, matched, tuning = (
        _compare(pairs, metric, params.confidence)
        for pairs in (_to_reference(known, params), _matched(known, params, widened), _tuned(known))
    )

    def bounded(found: Array) -> Interval:
        return interval(found, params.confidence, metric.measure.bounds)

    for task, is_best in zip(known, best, strict=True):
        name, default = task.method, task.default_values(metric.name)
        few = (task.positives(metric.key) or FEW) < FEW
        cells[name] = Cell(
            bounded(values[name]),
            values[name],
            bool(is_best) and not few,
            metric.measure.style,
            over.get(name),
            matched.get(name),
            None if default is None else bounded(default),
            tuning.get(name),
            few,
        )
    return cells


def defined(metric: Metric, tasks: Sequence[Task]) -> dict[str, Array]:
    """Return the values of the methods in which a metric is defined, each (replicates,)."""
    values = {task.method: task.values(metric.name) for task in tasks}
    return {method: found for method, found in values.items() if found is not None}


def gains(metric: Metric, tasks: Sequence[Task], reference: str | None) -> Array | None:
    """Return those of all other methods over a reference, (methods, replicates), if there are."""
    values = defined(metric, tasks)
    base = values.pop(reference or "", None)
    if base is None or not values:
        return None
    return metric.measure.cost(base) - metric.measure.cost(np.array(list(values.values())))


@dataclass(frozen=True)
class _Pair:
    """A method and what it is compared with: a task's values, tuned or default."""

    task: Task
    base: Task
    default: bool = False

    def gain(self, metric: Metric) -> Array | None:
        """Return how much lower its costs are, (replicates,)."""
        task, name = self.base, metric.name
        base = task.default_values(name) if self.default else task.values(name)
        own = self.task.values(name)
        if base is None or own is None or len(base) != len(own):
            return None
        return metric.measure.cost(base) - metric.measure.cost(own)


def _compare(pairs: Iterator[_Pair], metric: Metric, confidence: float) -> dict[str, Gain]:
    """Test all pairs as one family."""
    found = [(pair, gain) for pair in pairs if (gain := pair.gain(metric)) is not None]
    if not found:
        return {}
    rows, margin = np.array([gain for _, gain in found]), metric.margin
    same = [False] * len(rows) if margin is None else equivalent(rows, confidence, margin)
    tested = zip(found, differences(rows, confidence), same, strict=True)
    return {
        pair.task.method: Gain(difference, bool(alike), pair.base.title)
        for (pair, _), difference, alike in tested
    }


def _to_reference(tasks: Sequence[Task], params: Leaderboard) -> Iterator[_Pair]:
    base = next((task for task in tasks if task.method == params.reference), None)
    if base is not None:
        yield from (_Pair(task, base) for task in tasks if task is not base)


def _matched(
    tasks: Sequence[Task], params: Leaderboard, widened: Sequence[Task]
) -> Iterator[_Pair]:
    """Pair each method with the reference of the closest capacity, if that is close."""
    bases = [*(task for task in tasks if task.method == params.reference), *widened]
    for task in tasks:
        own = task.replicates[0].parameters
        if task in bases or not widened:
            continue
        nearest = min(bases, key=lambda base: abs(base.replicates[0].parameters - own))
        if is_matched(nearest.replicates[0].parameters, own):
            yield _Pair(task, nearest)


def _tuned(tasks: Sequence[Task]) -> Iterator[_Pair]:
    return (
        _Pair(task, task, default=True)
        for task in tasks
        if task.defaults and task.defaults != task.replicates
    )
