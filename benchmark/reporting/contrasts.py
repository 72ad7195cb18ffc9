"""The methods of a dataset compared in one metric: intervals, differences, verdicts and marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.config import Leaderboard
from benchmark.metrics import criteria
from benchmark.references import is_matched, is_widened
from benchmark.reporting.evidence import Evidence
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.records import DatasetResults, Task
from benchmark.reporting.statistics import (
    Difference,
    Interval,
    Resampled,
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
            side = "better" if self.difference.better else "worse"
            return f"{side}, but equivalent" if self.equivalent else side
        return "equivalent" if self.equivalent else "undecided"


@dataclass(frozen=True)
class Cell:
    """A metric of a method; ``best`` if no method is significantly better.

    ``gain`` is over the reference, ``own`` over that of the method's family, ``matched`` over its
    best variant of the same capacity or less, ``tuning`` that of the tuned hyper-parameters over
    the default ones, whose values ``default`` has. ``few`` tells that positives are few.
    """

    interval: Interval
    values: Array
    best: bool
    style: str
    gain: Gain | None = None
    own: Gain | None = None
    matched: Gain | None = None
    default: Interval | None = None
    tuning: Gain | None = None
    few: bool = False

    def text(self, plus_minus: str = " ± ") -> str:
        """Return mean and interval, with a dagger where positives are few."""
        return self.interval.text(self.style, plus_minus) + ("†" if self.few else "")


def column(metric: Metric, results: DatasetResults, params: Leaderboard) -> dict[str, Cell | None]:
    """Compare the methods of a table in a metric; None for those in which it is undefined."""
    cells: dict[str, Cell | None] = {task.method: None for task in results.reported}
    evidence, confidence = Evidence(metric, results), params.confidence
    if not (known := evidence.tasks):
        return cells
    costs, drawn = evidence.together([c for task in known if (c := evidence.costs(task))])
    best = not_worse_than_best(costs, confidence, drawn)
    over, own, matched, tuning = (
        {pair.task.method: gain for pair, _, gain in compared(pairs, evidence, confidence)}
        for pairs in (
            _to_reference(known, params),
            _in_family(known, params),
            _matched(known, params, results.widened),
            _tuned(known),
        )
    )

    tuned = any(task.defaults != task.replicates for task in known if task.defaults)
    for task, is_best in zip(known, best, strict=True):
        name, values = task.method, task.values(metric.name)
        mean = mean_of(evidence, task, confidence)
        few = _has_few(task, metric)
        if values is None or mean is None:
            continue
        cells[name] = Cell(
            mean,
            values,
            bool(is_best) and not few,
            metric.measure.style,
            over.get(name),
            own.get(name),
            matched.get(name),
            mean_of(evidence, task, confidence, default=True) if tuned else None,
            tuning.get(name),
            few,
        )
    return cells


def mean_of(
    evidence: Evidence, task: Task, confidence: float, *, default: bool = False
) -> Interval | None:
    """Return a method's mean over replicates, or that of its default values, with its interval.

    None where it has no such values.
    """
    values = evidence.values(task, default=default)
    if values is None:
        return None
    rows, data = evidence.together([values])
    return interval(rows[0], confidence, evidence.metric.measure.bounds, data and data[0])


def _has_few(task: Task, metric: Metric) -> bool:
    positives = task.positives(metric.key)
    return positives is not None and positives < FEW


def gains(evidence: Evidence, reference: str | None) -> tuple[Array, Resampled | None] | None:
    """Return those of all other methods over a reference, (methods, replicates), if there are."""
    base = next((task for task in evidence.tasks if task.method == reference), None)
    others = [task for task in evidence.tasks if task is not base]
    if base is None or not others:
        return None
    return evidence.together([g for task in others if (g := evidence.gain(task, base))])


@dataclass(frozen=True)
class Pair:
    """A method and what it is compared with: a task's values, tuned or default."""

    task: Task
    base: Task
    default: bool = False

    @property
    def over(self) -> str:
        """What the base is called; variants of the reference differ by their parameters."""
        size = f" ({_count(self.base):,} parameters)" if is_widened(self.base.method) else ""
        return f"{self.base.title}{size}"


def compared(
    pairs: Iterable[Pair], evidence: Evidence, confidence: float
) -> list[tuple[Pair, Array, Gain]]:
    """Test all pairs that have the metric as one family.

    Returns each with the method's gain by replicate, (replicates,), and what may be said of it.
    """
    known = [
        (pair, gain)
        for pair in pairs
        if (gain := evidence.gain(pair.task, pair.base, default=pair.default))
    ]
    if not known:
        return []
    rows, data = evidence.together([gain for _, gain in known])
    margin = evidence.metric.margin
    same = [False] * len(rows) if margin is None else equivalent(rows, confidence, margin, data)
    tested = zip(known, differences(rows, confidence, data), same, strict=True)
    return [
        (pair, gain.observed, Gain(difference, bool(alike), pair.over))
        for (pair, gain), difference, alike in tested
    ]


def _to_reference(tasks: Sequence[Task], params: Leaderboard) -> Iterator[Pair]:
    base = next((task for task in tasks if task.method == params.reference), None)
    if base is not None:
        yield from (Pair(task, base) for task in tasks if task is not base)


def _in_family(tasks: Sequence[Task], params: Leaderboard) -> Iterator[Pair]:
    """Pair each method with the reference of its own family, if it has one."""
    by_name = {task.method: task for task in tasks}
    for method, reference in params.own_references.items():
        if method in by_name and reference in by_name:
            yield Pair(by_name[method], by_name[reference])


def _matched(tasks: Sequence[Task], params: Leaderboard, widened: Sequence[Task]) -> Iterator[Pair]:
    """Pair each method with the best reference of no more parameters, if one has about as many.

    The best is that with the best mean on the validation splits: one of several, each with a search
    of its own, is less a matter of luck than the closest one, and capacity that hurts is not held
    against the reference.
    """
    bases = [*(task for task in tasks if task.method == params.reference), *widened]
    for task in tasks:
        own = _count(task)
        close = [base for base in bases if is_matched(_count(base), own)]
        if task not in bases and widened and close:
            yield Pair(task, _best([b for b in bases if b in close or _count(b) < own]))


def _best(tasks: Sequence[Task]) -> Task:
    """Return the one that is best on the validation splits of its replicates."""
    values = [[fit.value for fit in task.replicates if fit.value is not None] for task in tasks]
    means = [float(np.mean(own)) for own in values]
    known = tasks[0].provenance
    return tasks[criteria.best(known.protocol["selection_metric"], means)] if known else tasks[0]


def _count(task: Task) -> int:
    return task.replicates[0].parameters


def _tuned(tasks: Sequence[Task]) -> Iterator[Pair]:
    return (
        Pair(task, task, default=True)
        for task in tasks
        if task.defaults and task.defaults != task.replicates
    )
