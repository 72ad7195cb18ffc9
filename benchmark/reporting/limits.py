"""Where axes end: one value far from all others leaves no room for these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.reporting.contrasts import Cell
from benchmark.reporting.metric import Array
from benchmark.reporting.statistics import Flags


def around(cells: Sequence[Cell]) -> tuple[float, float]:
    """Return limits that hold all values of all methods but those far from the others.

    Intervals of few replicates may be wider than what the metric can be; they end at the axis.
    """
    means = np.array([cell.interval.mean for cell in cells])
    near = [cell for cell, far in zip(cells, far_off(means), strict=True) if not far]
    values = np.concatenate([cell.values for cell in near])
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or abs(high) or 1.0
    return low - room, high + room


def far_off(values: Array) -> Flags:
    """Return which values lie far outside of the middle half, by five times its width."""
    low, high = np.quantile(values, [0.25, 0.75])
    room = 5 * (high - low) + 1e-12
    found: Flags = (values < low - room) | (values > high + room)
    return found & (len(values) > 4)
