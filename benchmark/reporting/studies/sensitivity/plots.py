"""The pictures of a sensitivity study: every measure against each factor, and the ranks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.reporting.palette import MARKERS, SEVERAL, WIDTH
from benchmark.reporting.scatter import spread
from benchmark.reporting.statistics import Interval
from benchmark.reporting.studies.sensitivity import effects
from benchmark.reporting.studies.sensitivity.comparison import Comparison
from benchmark.reporting.studies.sensitivity.lines import Panel, named, panels
from benchmark.reporting.studies.sensitivity.ranks import heat_map
from benchmark.reporting.svg import clean, save
from benchmark.studies import BASE

COLUMNS, HEIGHT = 2, 1.95  # panels in a line, inches
GAP = 0.075  # between labels, as a share of a panel
FENCE = 2.0  # an axis ends this many interquartile ranges beyond the quartiles
OTHERS = "0.84"
EFFECTS = "all-effects"  # no factor has such a name

Styles = dict[str, tuple[str, str]]


def draw(comparison: Comparison, folder: Path) -> dict[str, list[Path]]:
    """Write the pictures and return their paths by factor, those of all settings under "".

    The effects of all methods are under ``EFFECTS``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ranked = comparison.headline if comparison.everywhere else []
    maps = ((f"ranks_{metric.name}", heat_map(comparison, metric)) for metric in ranked)
    written = {"": save(maps, folder, "ranks")}
    shown = [metric for metric in comparison.headline if effects.effects(comparison, metric)]
    multiples = ((f"effects_{m.name}", effects.small_multiples(comparison, m)) for m in shown)
    written[EFFECTS] = save(multiples, folder, "effects")
    for factor in comparison.study.factors:
        written[factor] = save(_levels(comparison, factor), folder / factor, factor)
    clean(folder, [path for paths in written.values() for path in paths])
    return written


def _levels(comparison: Comparison, factor: str) -> Iterator[tuple[str, Figure]]:
    yield "levels", levels(comparison, factor)


def levels(comparison: Comparison, factor: str) -> Figure:
    """Draw a panel per quantity: methods that stand out by name, all others in grey."""
    settings = comparison.levels(factor)
    drawn, roles = (
        list(panels(comparison, list(settings.values()))),
        named(comparison, list(settings.values())),
    )
    styles = dict(zip(roles, zip(SEVERAL, MARKERS, strict=True), strict=False))
    lines = -(-len(drawn) // COLUMNS)
    figure = Figure(figsize=(WIDTH, HEIGHT * lines + 0.6 + 0.17 * len(roles)))
    grid = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    ticks = [f"{level:g}" + "\n(base)" * (setting == BASE) for level, setting in settings.items()]
    for axes, panel in zip(grid, drawn, strict=False):
        _panel(axes, panel, styles, comparison.titles)
        axes.set_xticks(range(len(ticks)), ticks)
    for axes in grid[len(drawn) :]:
        axes.set_visible(False)
    figure.supxlabel(factor.replace("_", " "), fontsize=8.5)
    figure.legend(handles=_legend(styles, roles, comparison.titles), loc="outside upper left")
    return figure


def _legend(styles: Styles, roles: Mapping[str, str], titles: Mapping[str, str]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=color, marker=marker, ms=4, label=f"{titles[name]}: {roles[name]}")
        for name, (color, marker) in styles.items()
    ]
    return [*handles, Line2D([], [], color=OTHERS, label="another method")]


def _panel(axes: Axes, panel: Panel, styles: Styles, titles: Mapping[str, str]) -> None:
    others = [line for method, line in panel.lines.items() if method not in styles]
    _grey_lines(axes, others)
    if panel.ideal is not None:
        axes.axhline(panel.ideal, color="0.4", lw=0.8, ls=":")
    shown = {method: panel.lines[method] for method in styles if panel.lines.get(method)}
    for index, (method, line) in enumerate(shown.items()):
        shift = 0.05 * (index - (len(shown) - 1) / 2)
        _named_line(axes, line, shift, styles[method])
    axes.set_title(panel.title, loc="left")
    axes.grid(visible=False, axis="x")
    _limit(axes, panel)
    _label(axes, panel, shown, styles, titles)


def _grey_lines(axes: Axes, lines: Iterable[Mapping[int, Interval]]) -> None:
    """Draw many lines as one with gaps, which makes a far smaller file."""
    gap = (float("nan"), float("nan"))
    ends = [[*((x, point.mean) for x, point in line.items()), gap] for line in lines]
    axes.plot(*np.array([gap, *chain(*ends)]).T, color=OTHERS, lw=0.6)


def _named_line(
    axes: Axes, line: Mapping[int, Interval], shift: float, style: tuple[str, str]
) -> None:
    color, marker = style
    axes.errorbar(
        [level + shift for level in line], [point.mean for point in line.values()],
        yerr=[point.half_width or 0 for point in line.values()],
        color=color, marker=marker, ms=3.5, lw=1.2, elinewidth=0.7,
    )  # fmt: skip


def _limit(axes: Axes, panel: Panel) -> None:
    """Let far-off methods leave the axes, where they would flatten all others."""
    means = np.array([point.mean for line in panel.lines.values() for point in line.values()])
    first, third = np.quantile(means, [0.25, 0.75])
    reach = FENCE * (third - first)
    low, high = max(means.min(), first - reach), min(means.max(), third + reach)
    margin = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.locator_params(axis="y", nbins=5)
    if panel.best_on_top:
        count = len(panel.lines)
        axes.set_yticks(range(1, count + 1, max(1, count // 4)))
        axes.invert_yaxis()


def _label(
    axes: Axes,
    panel: Panel,
    shown: Mapping[str, Mapping[int, Interval]],
    styles: Styles,
    titles: Mapping[str, str],
) -> None:
    """Write the names at the ends of the lines; one that left the axes gets its value."""
    bottom, top = axes.get_ylim()
    ends = {method: list(line.items())[-1] for method, line in shown.items()}
    heights = {
        method: (point.mean - bottom) / (top - bottom) for method, (_, point) in ends.items()
    }
    ordered = sorted(shown, key=lambda method: heights[method])
    name_heights = spread([min(0.95, max(0.03, heights[method])) for method in ordered], GAP)
    for method, name_height in zip(ordered, name_heights, strict=True):
        x, point = ends[method]
        inside = 0 <= heights[method] <= 1
        text = titles[method] + ("" if inside else f" ({point.mean:{panel.style}})")
        end = min(max(point.mean, min(bottom, top)), max(bottom, top))
        axes.annotate(
            text, (x, end), (1.05, name_height), textcoords="axes fraction", va="center",
            fontsize=7, color=styles[method][0],
            arrowprops={"arrowstyle": "-", "color": "0.7", "lw": 0.5, "shrinkA": 1, "shrinkB": 3},
        )  # fmt: skip
