"""Evaluation on clicks against the truth: one point per method, no two names overlapping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression
from scipy.stats import spearmanr

from benchmark.reporting.limits import around
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.palette import BLUE, GREY, WIDTH
from benchmark.reporting.table import Table

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
        axes.set_xlim(around([x for _, x, _ in pairs]))
        axes.set_ylim(around([y for _, _, y in pairs]))
    points = [(task.title, x.interval.mean, y.interval.mean) for task, x, y in pairs]
    if len(points) > 2:
        rho = spearmanr([x for _, x, _ in points], [y for _, _, y in points]).statistic
        text = f"rank correlation (Spearman) over {len(points)} methods: {rho:.2f}"
        axes.set_title(text.replace("-", "−"), loc="left")
    reference = table.lead.reference if table.lead else None
    _label(axes, _named(points, clicked, unbiased, reference), gap=0.165 / (HEIGHT - 0.7))
    return figure


def costs(table: Table, metric: Metric) -> Figure:
    """Draw a metric against the time of a fit, and the methods that no other beats in both."""
    tasks = [(row.task, cell) for row in table.rows if (cell := row.cells[metric])]
    seconds = [float(np.mean([fit.seconds for fit in task.replicates])) for task, _ in tasks]
    worse = metric.measure.cost(np.array([cell.interval.mean for _, cell in tasks]))
    front = pareto(np.array(seconds), worse)
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_ylim(around([cell for _, cell in tasks]))
    for place, (_, cell) in enumerate(tasks):
        color = BLUE if place in front else GREY
        mean = cell.interval.mean
        axes.errorbar(
            seconds[place], mean, yerr=cell.interval.errors, fmt="o", color=color, ms=4,
            elinewidth=0.8, alpha=1 if place in front else 0.6,
        )  # fmt: skip
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}" if max(seconds) < 10 * min(seconds) else "")
    means = [tasks[place][1].interval.mean for place in front]
    axes.step([seconds[i] for i in front], means, where="post", color=BLUE, lw=0.8)
    axes.set_xlabel("seconds per fit, tuned, on the device of the table (log)")
    axes.set_ylabel(f"{metric.label} {metric.measure.arrow}, {metric.population}")
    shown = [place for place in range(len(tasks)) if len(tasks) <= NAMED or place in front]
    points = [(tasks[i][0].title, seconds[i], tasks[i][1].interval.mean) for i in shown]
    _label(axes, points, gap=0.165 / (HEIGHT - 0.7))
    return figure


def pareto(first: Array, second: Array) -> list[int]:
    """Return the places of points that no other is below in both, by increasing first value."""
    found, least = list[int](), np.inf
    for place in np.lexsort((second, first)):
        if second[place] < least:
            found.append(int(place))
            least = second[place]
    return found


def _named(
    points: Sequence[Point], clicked: Metric, unbiased: Metric, reference: str | None
) -> list[Point]:
    """Return the points to be named: all of few; else the ends of both orders, the reference.

    The others' names are in the table and, on the page, at the points.
    """
    if len(points) <= NAMED:
        return list(points)
    ends = []
    for place, metric in ((1, clicked), (2, unbiased)):
        costs = metric.measure.cost(np.array([point[place] for point in points], dtype=float))
        order = np.argsort(costs)
        ends += [points[i] for i in (*order[:4], *order[-2:])]
    ends += [point for point in points if point[0] == reference]
    return list(dict.fromkeys(ends))


def _label(axes: Axes, points: Sequence[Point], gap: float) -> None:
    """Write the names in a column at the right, ``gap`` apart at least, each led to its point."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    points = [point for point in points if left <= point[1] <= right and low <= point[2] <= high]
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
