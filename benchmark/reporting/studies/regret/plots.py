"""The pictures of the regret of selection criteria: a panel per target and setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.reporting.palette import BLUE, GREY, ORANGE, WIDTH
from benchmark.reporting.statistics import Interval
from benchmark.reporting.studies.regret.measure import (
    BOUND,
    CRITERION,
    RANDOM,
    REFERENCE,
    Mean,
    label,
)
from benchmark.reporting.svg import clean, save

COLORS = {CRITERION: BLUE, BOUND: ORANGE, REFERENCE: GREY}
LEGEND = {
    CRITERION: "observable criterion",
    BOUND: "oracle criterion",
    REFERENCE: "no selection",
}
CAPTIONS = (
    "Regret of each selection criterion: mean over candidate sets and its interval, a row of "
    "panels per target and a panel per setting. Lower is better.",
    "Rank correlation of each selection criterion with the target over the candidates of a set: "
    "mean over candidate sets and its interval. Higher is better.",
)
Value = Callable[[Mean], Interval | None]


def draw(means: Sequence[Mean], folder: Path) -> list[Path]:
    """Write ``regret.svg`` and ``correlation.svg`` and return their paths."""
    written = save(_figures(means), folder, "regret")
    clean(folder, written)
    return written


def _figures(means: Sequence[Mean]) -> Iterator[tuple[str, Figure]]:
    values: dict[str, Value] = {
        "regret": lambda m: m.regret,
        "correlation": lambda m: m.correlation,
    }
    for name, value in values.items():
        shown = [mean for mean in means if value(mean) and mean.criterion != RANDOM]
        yield name, panels(shown, name, value)


def panels(means: Sequence[Mean], title: str, value: Value) -> Figure:
    """Draw means, to whose range the axes are cut, and intervals; a row of panels per target."""
    targets = list(dict.fromkeys(mean.target for mean in means))
    settings = list(dict.fromkeys(mean.setting for mean in means))
    names = list(dict.fromkeys(mean.criterion for mean in means))
    figure = Figure(figsize=(1.5 * WIDTH, (0.7 + 0.17 * len(names)) * len(targets) + 0.4))
    grid = figure.subplots(len(targets), len(settings), sharey=True, sharex="row", squeeze=False)
    for mean in means:
        axes = grid[targets.index(mean.target), settings.index(mean.setting)]
        _dot(axes, names.index(mean.criterion), value(mean), COLORS[mean.kind])
    for line, target in zip(grid, targets, strict=True):
        line[len(settings) // 2].set_xlabel(f"{title}, {label(target)}")
        intervals = [value(mean) for mean in means if mean.target == target]
        centres = [interval.mean for interval in intervals if interval]
        margin = 0.1 * (max(centres) - min(centres)) or 0.1
        line[0].set_xlim(min(centres) - margin, max(centres) + margin)
    for axes, setting in zip(grid[0], settings, strict=True):
        axes.set_title(setting)
    grid[0, 0].set_yticks(range(len(names)), [label(name) for name in names])
    grid[0, 0].set_ylim(len(names) - 0.4, -0.6)
    handles = [
        Line2D([], [], color=COLORS[kind], marker="o", ls="", label=LEGEND[kind])
        for kind in dict.fromkeys(mean.kind for mean in means)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _dot(axes: Axes, height: int, interval: Interval | None, color: str) -> None:
    if interval is not None:
        axes.errorbar(
            interval.mean, height, xerr=interval.half_width, fmt="o", ms=3, lw=1, color=color
        )
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="y", length=0)
