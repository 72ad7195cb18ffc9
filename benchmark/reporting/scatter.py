"""A point per method, no two names overlapping: clicks against truth, quality against cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression
from scipy.stats import spearmanr

from benchmark.reporting.limits import around
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.palette import BLUE, GREY, WIDTH
from benchmark.reporting.table import Table

if TYPE_CHECKING:
    from benchmark.reporting.ranking import Ranking

Point = tuple[str, float, float]
HEIGHT = 4.2
NAMED = 12  # points whose names can stand at the right without a thicket of lines


def scatter(table: Table, clicked: Metric, unbiased: Metric) -> Figure:
    """Draw what the log's clicks say of every method against what is true of it."""
    cells = [(row.task, row.cells[clicked], row.cells[unbiased]) for row in table.rows]
    pairs = [(task, x, y) for task, x, y in cells if x and y]
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.subplots()
    for _, x, y in pairs:
        axes.errorbar(
            x.interval.mean,
            y.interval.mean,
            xerr=x.interval.errors,
            yerr=y.interval.errors,
            fmt="o",
            color=BLUE if y.best else GREY,
            ms=4,
            elinewidth=0.8,
            ecolor=(BLUE if y.best else GREY, 0.5),
        )
    axes.set_xlabel(f"{clicked.label}, {clicked.population}")
    axes.set_ylabel(f"{unbiased.label}, {unbiased.population}")
    if pairs:
        axes.set_xlim(around([x for _, x, _ in pairs], clicked))
        axes.set_ylim(around([y for _, _, y in pairs], unbiased))
    points = [(task.title, x.interval.mean, y.interval.mean) for task, x, y in pairs]
    if len(points) > 2:
        rho = spearmanr([x for _, x, _ in points], [y for _, _, y in points]).statistic
        text = f"rank correlation (Spearman) over {len(points)} methods: {rho:.2f}"
        axes.set_title(text.replace("-", "−"), loc="left")
    reference = table.lead.reference if table.lead else None
    _label(axes, _named(points, clicked, unbiased, reference), gap=0.165 / (HEIGHT - 0.7))
    return figure


@dataclass(frozen=True)
class Spent:
    """A method with what a fit takes, what it reaches, and that as a cost (lower is better)."""

    title: str
    time: float
    value: float
    cost: float
    errors: list[list[float]] | None = None


def costs(table: Table, metric: Metric) -> Figure:
    """Draw a metric against the time of a fit, and the methods that no other beats in both."""
    cells = [(row.task, cell) for row in table.rows if (cell := row.cells[metric])]
    methods = [
        Spent(
            task.title,
            task.seconds_per_fit,
            cell.interval.mean,
            float(metric.measure.cost(np.array([cell.interval.mean]))[0]),
            cell.interval.errors,
        )
        for task, cell in cells
    ]
    figure, axes = _trade_off(methods, around([cell for _, cell in cells], metric))
    axes.set_xlabel("seconds per fit, on the device of the table (log)")
    axes.set_ylabel(f"{metric.label} {metric.measure.arrow}, {metric.population}")
    return figure


def rank_costs(ranking: Ranking) -> Figure:
    """Draw the mean rank over all blocks against the time of a fit."""
    rows = zip(ranking.titles, ranking.times, ranking.means, strict=True)
    methods = [Spent(title, float(time), float(mean), float(mean)) for title, time, mean in rows]
    figure, axes = _trade_off(methods, (len(methods) + 0.5, 0.5))  # the best is on top
    axes.set_xlabel(f"time per fit, relative to {ranking.unit} (log)")
    axes.set_ylabel(f"mean rank by {ranking.metric.label},\n{ranking.metric.population}")
    return figure


def _trade_off(methods: Sequence[Spent], limits: tuple[float, float]) -> tuple[Figure, Axes]:
    front = pareto(np.array([x.time for x in methods]), np.array([x.cost for x in methods]))
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_ylim(limits)
    for index, one in enumerate(methods):
        color, alpha = (BLUE, 1.0) if index in front else (GREY, 0.6)
        axes.errorbar(
            one.time, one.value, yerr=one.errors, fmt="o", color=color, ms=4, elinewidth=0.8,
            alpha=alpha,
        )  # fmt: skip
    times = [one.time for one in methods]
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}" if max(times) < 10 * min(times) else "")
    best = [methods[index] for index in front]
    axes.step([x.time for x in best], [x.value for x in best], where="post", color=BLUE, lw=0.8)
    shown = methods if len(methods) <= NAMED else best
    _label(axes, [(x.title, x.time, x.value) for x in shown], gap=0.165 / (HEIGHT - 0.7))
    return figure, axes


def pareto(first: Array, second: Array) -> list[int]:
    """Return the indices of points that no other is below in both, by increasing first value."""
    front, least = list[int](), np.inf
    for index in np.lexsort((second, first)):
        if second[index] < least:
            front.append(int(index))
            least = second[index]
    return front


def _named(
    points: Sequence[Point], clicked: Metric, unbiased: Metric, reference: str | None
) -> list[Point]:
    """Return the points to be named: all of few; else the ends of both orders, the reference.

    The others' names are in the table and, on the page, at the points.
    """
    if len(points) <= NAMED:
        return list(points)
    ends = []
    for axis, metric in ((1, clicked), (2, unbiased)):
        costs = metric.measure.cost(np.array([point[axis] for point in points], dtype=float))
        order = np.argsort(costs)
        ends += [points[i] for i in (*order[:4], *order[-2:])]
    ends += [point for point in points if point[0] == reference]
    return list(dict.fromkeys(ends))


def _label(axes: Axes, points: Sequence[Point], gap: float) -> None:
    """Write the names in a column at the right, ``gap`` apart at least, each led to its point."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    placed = [((y - bottom) / (top - bottom), x, y, name) for name, x, y in points]
    ordered = sorted(one for one in placed if left <= one[1] <= right and 0 <= one[0] <= 1)
    heights = spread([one[0] for one in ordered], gap)
    for (_, x, y, name), height in zip(ordered, heights, strict=True):
        axes.annotate(
            name, (x, y), (1.04, height), textcoords="axes fraction", va="center",
            arrowprops={"arrowstyle": "-", "color": "0.6", "lw": 0.5, "shrinkA": 1, "shrinkB": 3},
        )  # fmt: skip


def spread(heights: Sequence[float], gap: float) -> Array:
    """Return increasing positions at least ``gap`` apart, as near the given ones as can be."""
    if not len(heights):
        return np.empty(0)
    steps = gap * np.arange(len(heights))
    nearest = isotonic_regression(np.asarray(heights) - steps).x
    return np.clip(nearest, 0, max(0.0, 1 - steps[-1])) + steps
