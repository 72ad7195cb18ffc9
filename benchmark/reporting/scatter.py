"""Evaluation on clicks against the truth: one point per method, no two names overlapping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression
from scipy.stats import spearmanr

from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.palette import BLUE, GREY, WIDTH
from benchmark.reporting.table import Table


def scatter(table: Table, clicked: Metric, unbiased: Metric) -> Figure:
    """Draw each method's metric on clicks against its metric on all impressions."""
    cells = [(row.task.title, row.cells[clicked], row.cells[unbiased]) for row in table.rows]
    pairs = [(name, x, y) for name, x, y in cells if x and y]
    height = max(3.6, 0.17 * len(pairs) + 1.0)
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.subplots()
    for _, x, y in pairs:
        axes.errorbar(
            x.interval.mean,
            y.interval.mean,
            xerr=x.interval.half_width,
            yerr=y.interval.half_width,
            fmt="o",
            color=BLUE if y.best else GREY,
            ms=4,
            elinewidth=0.8,
            ecolor=(BLUE if y.best else GREY, 0.5),
        )
    axes.set_xlabel(f"{clicked.label}, {clicked.population}")
    axes.set_ylabel(f"{unbiased.label}, {unbiased.population}")
    points = [(name, x.interval.mean, y.interval.mean) for name, x, y in pairs]
    if len(points) > 2:
        rho = spearmanr([x for _, x, _ in points], [y for _, _, y in points]).statistic
        text = f"rank correlation (Spearman) over {len(points)} methods: {rho:.2f}"
        axes.set_title(text.replace("-", "−"), loc="left")
    _label(axes, points, gap=0.165 / (height - 0.7))
    return figure


def _label(axes: Axes, points: Sequence[tuple[str, float, float]], gap: float) -> None:
    """Write the names in a column at the right, ``gap`` apart at least, each led to its point."""
    low, high = axes.get_ylim()
    ordered = sorted(points, key=lambda point: (point[2], point[1]))
    places = spread([(y - low) / (high - low) for _, _, y in ordered], gap)
    for (name, x, y), place in zip(ordered, places, strict=True):
        axes.annotate(
            name, (x, y), (1.04, place), textcoords="axes fraction", va="center",
            arrowprops={"arrowstyle": "-", "color": "0.6", "lw": 0.5, "shrinkA": 1, "shrinkB": 3},
        )  # fmt: skip


def spread(wanted: Sequence[float], gap: float) -> Array:
    """Return increasing positions at least ``gap`` apart, as near the wanted ones as can be."""
    steps = gap * np.arange(len(wanted))
    nearest = isotonic_regression(np.asarray(wanted) - steps).x
    return np.clip(nearest, 0, max(0.0, 1 - steps[-1])) + steps
