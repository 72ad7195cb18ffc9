"""The pictures of the regret of selection criteria: a panel per target and world."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.files import replacing
from benchmark.reporting.metric import Metric
from benchmark.reporting.palette import BLUE, GREY, ORANGE, STYLE, WIDTH
from benchmark.reporting.regret import ALL, BOUND, CRITERION, REFERENCE, label

COLORS = {CRITERION: BLUE, BOUND: ORANGE, REFERENCE: GREY}
LEGEND = {
    CRITERION: "criterion that a log can answer",
    BOUND: "needs the truth about validation rows",
    REFERENCE: "no selection",
}


def draw(found: pd.DataFrame, folder: Path) -> list[Path]:
    """Write ``regret.svg`` and ``correlation.svg`` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw(found, value, folder / f"{value}.svg") for value in ("regret", "correlation")]


def _draw(found: pd.DataFrame, value: str, path: Path) -> Path:
    with style.context(["default", STYLE, {"svg.hashsalt": value}]), replacing(path) as temporary:
        panels(found.dropna(subset=[value]), value).savefig(
            temporary, format="svg", metadata={"Date": None, "Creator": None}
        )
    return path


def panels(found: pd.DataFrame, value: str) -> Figure:
    """Draw the means and intervals of all criteria, those with the least mean regret on top."""
    targets, worlds = found.target.unique(), found.world.unique()
    names = found[found.world == ALL].groupby("criterion").regret.mean().sort_values().index
    figure = Figure(figsize=(1.5 * WIDTH, (0.7 + 0.17 * len(names)) * len(targets) + 0.4))
    grid = figure.subplots(len(targets), len(worlds), sharey=True, sharex="row", squeeze=False)
    for line, target in zip(grid, targets, strict=True):
        for axes, world in zip(line, worlds, strict=True):
            rows = found[(found.target == target) & (found.world == world)]
            _panel(axes, rows.set_index("criterion").reindex(names), value)
        line[len(worlds) // 2].set_xlabel(f"{value}, {Metric.parse(target).label}")
    for axes, world in zip(grid[0], worlds, strict=True):
        axes.set_title(world)
    grid[0, 0].set_yticks(range(len(names)), [label(name) for name in names])
    grid[0, 0].set_ylim(len(names) - 0.4, -0.6)
    handles = [
        Line2D([], [], color=COLORS[kind], marker="o", ls="", label=LEGEND[kind])
        for kind in COLORS
        if kind in set(found.kind)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, value: str) -> None:
    for place, (_, row) in enumerate(rows.iterrows()):
        if row[value] == row[value]:
            axes.errorbar(
                row[value], place, xerr=row[f"{value}_half_width"], fmt="o", ms=3, lw=1,
                color=COLORS[row["kind"]],
            )  # fmt: skip
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="y", length=0)
