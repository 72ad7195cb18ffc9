"""The pictures of a dataset's table: SVG with text as text, the same bytes for the same records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from benchmark.reporting.contrasts import Cell
from benchmark.reporting.limits import around, far_off
from benchmark.reporting.metric import POPULATIONS, Array
from benchmark.reporting.palette import BLUE, GREY, ORANGE, WIDTH
from benchmark.reporting.scatter import costs, scatter
from benchmark.reporting.svg import clean, save
from benchmark.reporting.table import Row, Table

BEST = "best, or not significantly different from it"
PANELS = 5  # methods in a line
UNBIASED = ("oracle", "random")


def draw(tables: Iterable[Table], folder: Path) -> dict[str, list[Path]]:
    """Write the pictures that each table allows and return their paths by dataset.

    Other pictures in the folder are of older tables and are deleted.
    """
    written = {
        (name := table.results.dataset): save(_figures(table), folder / name, name)
        for table in tables
    }
    clean(folder, [path for paths in written.values() for path in paths])
    return written


def _figures(table: Table) -> Iterator[tuple[str, Figure]]:
    if table.headline:
        yield "headline", headline(table)
        yield "cost", costs(table, table.headline[0])
    if any("cvr_clicked" in row.task.replicates[0].reliability for row in table.rows):
        yield "calibration", calibration(table)
    by_name = {metric.name: metric for metric in table.metrics}
    unbiased = [by_name[name] for space in UNBIASED if (name := f"cvr_auc_{space}") in by_name]
    if unbiased and "cvr_auc_clicked" in by_name:
        yield "clicked_vs_oracle", scatter(table, by_name["cvr_auc_clicked"], unbiased[0])


def headline(table: Table) -> Figure:
    """Draw the interval and the replicates of every method, from best to worst.

    Intervals that are wide because replicates are few may run off an axis; those that cover how
    another test sample would differ, which no replicate shows, do not.
    """
    figure = Figure(figsize=(WIDTH, 1.1 + 0.25 * len(table.rows)))
    panels = figure.subplots(1, len(table.headline), sharey=True, squeeze=False)[0]
    sampled = table.results.resampling is not None
    for axes, metric in zip(panels, table.headline, strict=True):
        cells = [cell for row in table.rows if (cell := row.cells[metric])]
        axes.set_xlim(around(cells, metric, intervals=sampled, replicates=True))
        for height, row in enumerate(table.rows):
            if cell := row.cells[metric]:
                _dots(axes, height, cell)
        axes.set_xlabel(f"{metric.label} {metric.measure.arrow}\n{metric.population}")
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(table.rows)), [row.task.title for row in table.rows])
    panels[0].set_ylim(len(table.rows) - 0.4, -0.6)
    if len(table.rows[0].task.replicates) > 1:
        handles = [
            Line2D([], [], color=BLUE, marker="o", label=BEST),
            Line2D([], [], color=GREY, marker="o", label="other"),
            Line2D([], [], color=GREY, marker="|", alpha=0.6, ls="", ms=5, label="a replicate"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _dots(axes: Axes, height: int, cell: Cell) -> None:
    color = BLUE if cell.best else GREY
    if len(cell.values) > 1:  # strokes of one path: many dots would be most of the page's size
        heights = np.tile([height + 0.2, height + 0.38, np.nan], len(cell.values))
        axes.plot(np.repeat(cell.values, 3), heights, color=color, lw=0.7, alpha=0.6)
    low, high = axes.get_xlim()
    mean = cell.interval.mean
    if low <= mean <= high:
        axes.errorbar(mean, height, xerr=cell.interval.errors, fmt="o", color=color, ms=5, lw=1.5)
        return
    left = mean < low  # told in words at the end of the axis
    text = f"◂ {mean:{cell.style}}" if left else f"{mean:{cell.style}} ▸"
    end, side = (low, "left") if left else (high, "right")
    axes.text(end, height, text, ha=side, va="center", fontsize=7, color=color)


def calibration(table: Table) -> Figure:
    """Draw a panel per method: predicted against observed CVR in tenths of the rows."""
    lines = -(-len(table.rows) // PANELS)
    figure = Figure(figsize=(WIDTH, 1.0 + 1.35 * lines))
    panels = figure.subplots(lines, PANELS, sharex=True, sharey=True, squeeze=False).ravel()
    curves = [_curves(row) for row in table.rows]
    points = _usual([points for by_population in curves for points in by_population.values()])
    for axes, row, by_population in zip(panels, table.rows, curves, strict=False):
        _panel(axes, row.task.title, by_population)
    for axes in panels[len(table.rows) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(table.rows) - PANELS) : len(table.rows)]:
        axes.tick_params(labelbottom=True)
    _limit(panels[0], points)
    figure.supxlabel("predicted CVR, mean of a tenth of the rows", fontsize=8.5)
    figure.supylabel("observed CVR", fontsize=8.5)
    handles, _ = panels[0].get_legend_handles_labels()
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _curves(row: Row) -> dict[str, Array]:
    """Return (bins, 2) of mean prediction and mean label, over replicates, by population."""
    fits = row.task.replicates
    reliability = fits[0].reliability
    spaces = ["clicked", *[space for space in UNBIASED if f"cvr_{space}" in reliability][:1]]
    return {
        space: np.mean([fit.reliability[f"cvr_{space}"] for fit in fits], axis=0)[:, 1:]
        for space in spaces
        if f"cvr_{space}" in reliability
    }


def _usual(curves: Sequence[Array]) -> Array:
    """Return the points of all curves but those of methods whose least or largest is far off.

    One method that predicts what no other does would else leave no room for all others.
    """
    logs = [np.log(points[points > 0]) for points in curves if (points > 0).any()]
    if not logs:
        return np.ones(1)
    far = far_off(np.array([log.max() for log in logs])) | far_off(
        np.array([log.min() for log in logs])
    )
    return np.exp(np.concatenate([log for log, off in zip(logs, far, strict=True) if not off]))


def _panel(axes: Axes, title: str, curves: dict[str, Array]) -> None:
    axes.axline((0.01, 0.01), (1, 1), color="0.6", lw=0.8, label="calibrated")
    for space, points in curves.items():
        color, marker = (BLUE, "o") if space == "clicked" else (ORANGE, "s")
        axes.plot(*points.T, color=color, marker=marker, ms=3, lw=1.1, label=POPULATIONS[space])
    axes.set_title(fill(title, 18))


def _limit(axes: Axes, points: Array) -> None:
    """Share square limits; logarithmic where most points would else crowd at the origin."""
    high = float(points.max())
    low = max(float(points[points > 0].min()), high / 1e4)
    if high > 20 * low:
        axes.set(xscale="log", yscale="log", xlim=(low / 1.3, high * 1.3))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1,) if high > 15 * low else (1, 3)))
            axis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    else:
        axes.set(xlim=(0, high * 1.05))
        axes.locator_params(nbins=3)
    axes.set_ylim(axes.get_xlim())
