"""What is known of a metric in a setting: its values by replicate, and on resampled test data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import stats

from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.records import DatasetResults, Task
from benchmark.reporting.statistics import Ranks, Resampled, ranks


@dataclass(frozen=True)
class Values:
    """One quantity by replicate, (replicates,), and on each draw of the data if there are any.

    ``drawn`` is (replicates, draws).
    """

    observed: Array
    drawn: Array | None = None

    def __sub__(self, other: Values) -> Values:
        """Return paired differences, on the data and on each draw of them."""
        both = self.drawn is not None and other.drawn is not None
        return Values(self.observed - other.observed, self.drawn - other.drawn if both else None)  # type: ignore[operator]


@dataclass(frozen=True)
class Evidence:
    """A metric of the methods of a setting."""

    metric: Metric
    results: DatasetResults

    def values(self, task: Task, *, default: bool = False) -> Values | None:
        """Return the metric of a method, or of its default values; None where it has none."""
        name = self.metric.name
        observed = task.default_values(name) if default else task.values(name)
        if observed is None:
            return None
        if (data := self.results.resampling) is None:
            return Values(observed)
        fits = task.predicted(default=default)
        drawn = data.values({path: fit.test for path, fit in fits.items()}, self.metric)
        return Values(observed, drawn)

    def costs(self, task: Task, *, default: bool = False) -> Values | None:
        """Return the same as costs, which are lower for better values."""
        if (known := self.values(task, default=default)) is None:
            return None
        cost = self.metric.measure.cost
        return Values(cost(known.observed), None if known.drawn is None else cost(known.drawn))

    def gain(self, task: Task, base: Task, *, default: bool = False) -> Values | None:
        """Return how much better a method is than a base, or than the base's default values."""
        own, other = self.costs(task), self.costs(base, default=default)
        if own is None or other is None or len(own.observed) != len(other.observed):
            return None
        return other - own

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The methods in the table that have the metric."""
        name = self.metric.name
        return tuple(task for task in self.results.reported if task.values(name) is not None)

    def together(self, rows: Sequence[Values]) -> tuple[Array, Resampled | None]:
        """Return (rows, replicates), and the means over replicates on each draw of the data."""
        drawn = [row.drawn.mean(axis=0) for row in rows if row.drawn is not None]
        data = Resampled(np.array(drawn), self.clusters) if len(drawn) == len(rows) > 0 else None
        return np.array([row.observed for row in rows]), data

    def task(self, method: str) -> Task:
        """Return a method that has the metric."""
        return next(task for task in self.tasks if task.method == method)

    @cached_property
    def clusters(self) -> int:
        """How many clusters of the resampled data have a positive; 0 if they are not."""
        data = self.results.resampling
        return 0 if data is None else data.clusters(self.metric)


def common(settings: Sequence[Evidence]) -> list[str]:
    """Return the methods that have the metric in each of several settings."""
    names = [[task.method for task in one.tasks] for one in settings]
    return [name for name in names[0] if all(name in one for one in names)] if names else []


def blocks(settings: Sequence[Evidence]) -> Array:
    """Return the ranks of the common methods within each block, (methods, blocks), 1 the best.

    A block is a replicate of a setting. Where settings share their data, as the variants of a study
    do, it is a replicate of all of them, with the mean ranks over these: counted apart, one draw of
    the data would pass for many.
    """
    names = common(settings)
    return np.concatenate([_shared(group, names) for group in sharing(settings)], axis=1)


def sharing(settings: Sequence[Evidence]) -> list[list[Evidence]]:
    """Return the settings in groups that share their data."""
    groups = dict[Path, list[Evidence]]()
    for one in settings:
        groups.setdefault(one.results.data, []).append(one)
    return list(groups.values())


def _shared(group: Sequence[Evidence], names: Sequence[str]) -> Array:
    """Return the mean ranks within each replicate that all settings of a group have."""
    found = [
        stats.rankdata([cost.observed for cost in _costs(one, names)], axis=0) for one in group
    ]
    count = min(ranked.shape[1] for ranked in found)
    mean: Array = np.mean([ranked[:, :count] for ranked in found], axis=0)
    return mean


def places(settings: Sequence[Evidence], confidence: float) -> Ranks | None:
    """Rank the common methods by their mean rank over blocks: the one definition of a rank.

    None if there is one block, or one method.
    """
    ranked = blocks(settings) if settings else np.empty((0, 0))
    return ranks(ranked, confidence, data=_resampled(settings)) if len(ranked) > 1 else None


def _costs(setting: Evidence, names: Sequence[str]) -> list[Values]:
    return [cost for name in names if (cost := setting.costs(setting.task(name)))]


def _resampled(settings: Sequence[Evidence]) -> Resampled | None:
    """Return the mean ranks over blocks on each draw of the data; None where none are resampled.

    A setting whose data are not resampled has the same ranks on each draw.
    """
    names, means, total, clusters = common(settings), list[Array](), 0, list[int]()
    for group in sharing(settings):
        costs = [_costs(one, names) for one in group]
        count = min(len(own[0].observed) for own in costs)
        total += count
        for one, own in zip(group, costs, strict=True):
            drawn = [cost.drawn for cost in own if cost.drawn is not None]
            if len(drawn) == len(names):
                ranked = stats.rankdata(drawn, axis=0).mean(axis=1)
                means.append(ranked * count / len(group))
                clusters.append(one.clusters)
    return Resampled(np.sum(means, axis=0) / total, min(clusters)) if means else None
