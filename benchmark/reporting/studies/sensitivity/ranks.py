"""The rank of every method in every setting, as a heat map."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.reporting.metric import Metric
from benchmark.reporting.palette import WIDTH
from benchmark.reporting.studies.sensitivity.comparison import Comparison

COLORS = "GnBu_r"
DARK = 0.35  # share of the ranks whose colour asks for white numbers


def heat_map(comparison: Comparison, metric: Metric) -> Figure:
    """Draw methods from the best mean rank to the worst, settings in the order of factors."""
    ranks = comparison.ranks[metric]
    ranks = ranks.loc[ranks.mean(axis=1).sort_values(kind="stable").index]
    figure = Figure(figsize=(WIDTH, 1.4 + 0.155 * len(ranks)))
    axes = figure.subplots()
    box = (0, ranks.shape[1], len(ranks), 0)
    axes.imshow(ranks.to_numpy(), COLORS, aspect="auto", interpolation="none", extent=box)
    axes.hlines(range(1, len(ranks)), 0, ranks.shape[1], color="white", lw=0.4)
    for line, (method, row) in enumerate(ranks.iterrows()):
        for column, (setting, rank) in enumerate(row.items()):
            cell = comparison.cell(str(setting), str(method), metric)
            axes.text(
                column + 0.5, line + 0.5, f"{rank:g}", ha="center", va="center", fontsize=6,
                color="white" if rank <= DARK * len(ranks) else "0.15",
                weight="bold" if cell and cell.best else "normal",
            )  # fmt: skip
    axes.set_yticks(
        np.arange(len(ranks)) + 0.5,
        [comparison.titles[str(method)] for method in ranks.index],
        fontsize=7,
    )
    _heads(axes, comparison, list(map(str, ranks.columns)))
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _heads(axes: Axes, comparison: Comparison, settings: list[str]) -> None:
    """Name the columns, and part those of different factors."""
    names = [comparison.name(setting) for setting in settings]
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(len(settings)) + 0.5, names, rotation=90, fontsize=7)
    for column, (left, right) in enumerate(pairwise(settings), 1):
        same = comparison.label(left)[0] == comparison.label(right)[0]
        axes.axvline(column, color="white", lw=0.4 if same else 2.5)
