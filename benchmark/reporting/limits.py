"""Where axes end: one value far from all others leaves no room for these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.reporting.contrasts import Cell
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.statistics import Flags


def around(
    cells: Sequence[Cell], metric: Metric, *, intervals: bool = True, replicates: bool = False
) -> tuple[float, float]:
    """Return limits that hold the means of all methods but those far from the others.

    They hold their intervals and replicates too, as asked, except where one is far from all others,
    and never leave what the metric can be: an interval that does, as those of few replicates may,
    ends at the axis.
    """
    means = np.array([cell.interval.mean for cell in cells])
    near = [cell for cell, far in zip(cells, far_off(means), strict=True) if not far]
    limits = [limit for cell in near for limit in (cell.interval.low, cell.interval.high)]
    values = [value for cell in near for value in cell.values]
    drawn = np.array(limits * intervals + values * replicates)
    inner = np.concatenate([drawn[~far_off(drawn)], [cell.interval.mean for cell in near]])
    low, high = float(inner.min()), float(inner.max())
    room = 0.06 * (high - low) or 0.1 * abs(high) or 0.1
    least, most = metric.measure.bounds
    low, high = low - room, high + room
    return low if least is None else max(least, low), high if most is None else min(most, high)


def far_off(values: Array) -> Flags:
    """Return which values lie far outside of the middle half, by five times its width."""
    low, high = np.quantile(values, [0.25, 0.75])
    room = 5 * (high - low) + 1e-12
    outside: Flags = (values < low - room) | (values > high + room)
    return outside & (len(values) > 4)
