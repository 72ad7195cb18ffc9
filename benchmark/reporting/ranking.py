"""One ranking of the methods over all blocks: every replicate of every setting.

Ranks within blocks weigh all settings alike, whatever the scale and the spread of a metric there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from benchmark.config import Params
from benchmark.files import write_text
from benchmark.reporting.evidence import Evidence, blocks, common, places
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.palette import BLUE, GREY, WIDTH
from benchmark.reporting.records import DatasetResults
from benchmark.reporting.scatter import rank_costs
from benchmark.reporting.statistics import Ranks, critical_difference, friedman
from benchmark.reporting.svg import save

LEAST_METHODS = 3  # of two, the table's paired test says more


@dataclass(frozen=True)
class Ranking:
    """The methods from the best mean rank to the worst, over the blocks of several settings.

    ``methods`` are their file names. ``blocks`` (methods, blocks) are the ranks within each, 1 the
    best; ``settings`` counts where they come from, ``places`` are the ranks by the mean with their
    intervals, ``times`` (methods,) are those of a fit relative to that of the method ``unit``. The
    blocks of ``fixed`` settings share their data.
    """

    metric: Metric
    methods: tuple[str, ...]
    titles: tuple[str, ...]
    blocks: Array
    settings: int
    places: Ranks
    times: Array
    unit: str
    confidence: float
    fixed: tuple[str, ...] = ()

    @property
    def means(self) -> Array:
        """The mean rank of each method, (methods,)."""
        return self.blocks.mean(axis=1)

    @property
    def p_value(self) -> float:
        """That of Friedman's test that all methods rank alike."""
        return friedman(self.blocks)

    @property
    def difference(self) -> float:
        """By how much two mean ranks must differ to be significantly different (Nemenyi)."""
        methods, blocks = self.blocks.shape
        return critical_difference(methods, blocks, self.confidence)


def rank(
    datasets: Sequence[DatasetResults],
    metric: Metric,
    confidence: float,
    reference: str | None = None,
) -> Ranking | None:
    """Rank the methods that have the metric in every setting that knows it.

    Times are relative to that of the reference, or of the best method without one. None if the
    methods are fewer than three, or if there is one block alone.
    """
    found = [one for results in datasets if (one := Evidence(metric, results)).tasks]
    names = common(found)
    if len(names) < LEAST_METHODS or (ranks := places(found, confidence)) is None:
        return None
    ranked = blocks(found)
    order = np.argsort(ranked.mean(axis=1), kind="stable")
    named = {task.method: task.title for results in datasets for task in results.reported}
    methods = tuple(names[place] for place in order)
    titles = tuple(named[method] for method in methods)
    fixed = tuple(one.results.title for one in found if not one.results.redrawn)
    unit = methods.index(reference) if reference in methods else 0
    times = _times([one.results for one in found], methods)
    return Ranking(
        metric, methods, titles, ranked[order], len(found), ranks[order], times / times[unit],
        titles[unit], confidence, fixed,
    )  # fmt: skip


def _times(datasets: Sequence[DatasetResults], methods: Sequence[str]) -> Array:
    """Return the seconds of a fit, a geometric mean over settings, (methods,)."""
    settings = [{task.method: task for task in results.reported} for results in datasets]
    seconds = [[tasks[name].seconds_per_fit for name in methods] for tasks in settings]
    found: Array = stats.gmean(np.maximum(np.array(seconds), 1e-3), axis=0)
    return found


def table(found: Ranking) -> pd.DataFrame:
    """Return a row per method with its mean rank and the interval of its rank."""
    places = found.places
    return pd.DataFrame(
        {
            "method": found.titles,
            "mean_rank": found.means.round(4),
            "rank": places.rank,
            "rank_low": places.low,
            "rank_high": places.high,
        }
    )


def sentence(found: Ranking) -> str:
    """Return what the ranking rests on and what it may be read for."""
    methods, blocks = found.blocks.shape
    settings = "one setting" if found.settings == 1 else f"{found.settings} settings"
    return (
        f"By {found.metric.label}, {found.metric.population}: {methods} methods ranked within each "
        f"of {blocks} blocks (the replicates of {settings}). Friedman's test of equal ranks: p "
        f"{_p(found.p_value)}. Critical difference of mean ranks (Nemenyi, α = "
        f"{1 - found.confidence:.2g}): {found.difference:.2f}. The interval of a rank goes from "
        "the number of methods that rank significantly better, plus one, to the number of those "
        "that do not rank significantly worse, by a bootstrap over blocks, and covers the true "
        f"rank with {found.confidence:.0%} confidence."
        + (
            f" The blocks of {', '.join(found.fixed)} share their data, so that the test and the "
            "critical difference leave out how other data would differ."
            if found.fixed
            else ""
        )
    )


def draw(found: Ranking) -> Figure:
    """Draw each mean rank with half a critical difference to each side, a diagram for many methods.

    Methods whose bars do not overlap are significantly different. At the right stand the ranks.
    """
    figure = Figure(figsize=(WIDTH, 1.25 + 0.19 * len(found.titles)))
    axes = figure.subplots()
    means, places = found.means, np.arange(len(found.titles))
    alike = means <= means[0] + found.difference
    for chosen, color in ((alike, BLUE), (~alike, GREY)):
        axes.errorbar(
            means[chosen], places[chosen], xerr=found.difference / 2, fmt="o", color=color, ms=4
        )
    axes.axvline(means[0] + found.difference / 2, color=BLUE, lw=0.8, ls=":")
    size = 7 if len(places) > 20 else 8.5
    axes.set_yticks(places, found.titles, fontsize=size)
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.set_xlim(0, len(places) + 1)
    axes.tick_params(axis="y", length=0)
    bounds = zip(found.places.rank, found.places.low, found.places.high, strict=True)
    for place, (own, low, high) in enumerate(bounds):
        axes.annotate(
            f"{own:g} [{low}–{high}]", (1.02, place), xycoords=("axes fraction", "data"),
            va="center", fontsize=size, color=BLUE if alike[place] else "0.35",
        )  # fmt: skip
    axes.set_xlabel(
        f"mean rank by {found.metric.label}, {found.metric.population}, over "
        f"{found.blocks.shape[1]} blocks (1 is best)\n± half a critical difference: methods whose "
        "bars do not overlap differ significantly\nblue: not significantly different from the best"
    )
    return figure


def rank_all(datasets: Sequence[DatasetResults], params: Params) -> list[Ranking]:
    """Return the ranking by each headline metric that allows one."""
    asked, board = [Metric.parse(name) for name in params.leaderboard.headline], params.leaderboard
    ranked = (rank(datasets, metric, board.confidence, board.reference) for metric in asked)
    return [one for one in ranked if one]


def write(found: Sequence[Ranking], folder: Path) -> list[Path]:
    """Write ``ranking.md``, ``ranking.csv`` and the pictures, whose paths are returned."""
    frames = [table(one).assign(metric=one.metric.name) for one in found]
    rows = pd.concat(frames) if frames else pd.DataFrame(columns=["method"])
    write_text(folder / "ranking.csv", rows.to_csv(index=False, lineterminator="\n"))
    write_text(folder / "ranking.md", "\n\n".join([_HEAD, *map(_section, found)]) + "\n")
    return save(_figures(found), folder / "plots", "ranking")


def _figures(found: Sequence[Ranking]) -> Iterator[tuple[str, Figure]]:
    """Yield a picture of each ranking; against cost too, where no single setting's table has it."""
    for one in found:
        yield f"ranking_{one.metric.name}", draw(one)
    for one in found[:1]:
        if one.settings > 1:
            yield "ranking_cost", rank_costs(one)


_HEAD = """# Ranking over all settings

Generated by `python -m benchmark report`; do not edit. A block is a replicate of a setting."""


def _section(found: Ranking) -> str:
    places = found.places
    rows = [
        [title, f"{mean:.2f}", f"{place:g}", f"{low}–{high}"]
        for title, mean, place, low, high in zip(
            found.titles, found.means, places.rank, places.low, places.high, strict=True
        )
    ]
    head = ["Method", "Mean rank", "Rank", f"{found.confidence:.0%} interval"]
    grid = pd.DataFrame(rows, columns=head).to_markdown(
        index=False, disable_numparse=True, colalign=("left", "right", "right", "right")
    )
    return f"## {found.metric.label}, {found.metric.population}\n\n{sentence(found)}\n\n{grid}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"
