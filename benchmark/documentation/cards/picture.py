"""The funnel of a log as a picture: how many rows reach each stage, or which stages there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmark.documentation.cards.records import Facts, Population
from benchmark.files import replacing
from benchmark.reporting.palette import BLUE, GREY, ORANGE, STYLE, WIDTH
from benchmark.schema import Stage

LOOKS = {"train": (BLUE, "o"), "valid": (GREY, "D"), "test": (ORANGE, "s")}
ROW = 0.17  # inches for a population in a stage
SPREAD = 0.27  # of a stage between the populations in it


def draw(facts: Facts, path: Path) -> None:
    """Write the picture as SVG, the same bytes for the same facts."""
    with style.context(["default", STYLE, {"svg.hashsalt": path.stem}]), replacing(path) as new:
        _figure(facts).savefig(new, format="svg", metadata={"Date": None, "Creator": None})


def sketch(known: Sequence[Stage], path: Path) -> None:
    """Write which stages a log has, for one that was not counted."""
    with style.context(["default", STYLE, {"svg.hashsalt": path.stem}]), replacing(path) as new:
        _chain(known).savefig(new, format="svg", metadata={"Date": None, "Creator": None})


def _chain(known: Sequence[Stage]) -> Figure:
    """Draw all stages in their order, those that the log lacks dashed and grey."""
    stages = get_args(Stage)
    figure = Figure(figsize=(WIDTH, 0.65))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(-0.5, len(stages) - 0.5), ylim=(-1, 1))
    for position, stage in enumerate(stages):
        logged = stage in known
        axes.text(
            position, 0, stage if logged else f"{stage}: not logged", ha="center", va="center",
            color="white" if logged else GREY, fontsize=8.5 if logged else 7,
            bbox={
                "boxstyle": "round,pad=0.5", "facecolor": BLUE if logged else "white",
                "edgecolor": BLUE if logged else GREY, "ls": "-" if logged else "--",
            },
        )  # fmt: skip
        if position:
            axes.text(position - 0.5, 0, "→", ha="center", va="center", color=GREY)
    return figure


def _figure(facts: Facts) -> Figure:
    stages = [stage for stage in get_args(Stage) if stage in facts.stages]
    count = len(facts.populations)
    figure = Figure(figsize=(WIDTH, 0.9 + ROW * len(stages) * count))
    axes = figure.subplots()
    for index, population in enumerate(facts.populations):
        lift = SPREAD * (index - (count - 1) / 2) * min(1, 3 / count)
        _points(axes, population, stages, lift)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
    for border in range(1, len(stages)):
        axes.axhline(border - 0.5, color="0.9", lw=0.6)
    axes.set_yticks(range(len(stages)), stages)
    axes.set_ylim(len(stages) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("rows that reach the stage, as far as known")
    figure.legend(loc="outside upper center", ncols=count)
    return figure


def _points(axes: Axes, population: Population, stages: list[str], lift: float) -> None:
    """Draw a population: a point and its number per stage, none where it is unknown or 0."""
    counts = {height: _count(population, stage) for height, stage in enumerate(stages)}
    known = {height: count for height, count in counts.items() if count}
    color, marker = LOOKS[population.split]
    logged = population.policy == "log"
    axes.plot(
        list(known.values()),
        [height + lift for height in known],
        color=color, marker=marker, ms=4.5, lw=0, mfc=color if logged else "white",
        label=population.split if logged else f"{population.split}, shown at random",
    )  # fmt: skip
    for height, count in known.items():
        axes.annotate(
            f"{count:,}", (count, height + lift), (6, 0), textcoords="offset points",
            va="center", color=color, fontsize=7,
        )  # fmt: skip


def _count(population: Population, stage: str) -> int:
    """Return how many rows reach a stage: all reach the first, which no label tells."""
    return population.positive.get(stage, population.rows)
