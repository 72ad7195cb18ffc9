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
from benchmark.reporting.csv_files import write_csv
from benchmark.reporting.evidence import Evidence, blocks, common, places, sharing
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
    best; ``settings`` counts where they come from, and ``sources`` those with data of their own.
    ``places`` are the ranks by the mean with their intervals, ``times`` (methods,) are those of a
    fit relative to that of the method ``unit``. The blocks of ``fixed`` settings share their data.
    ``searched`` tells whether hyper-parameters were.
    """

    metric: Metric
    methods: tuple[str, ...]
    titles: tuple[str, ...]
    blocks: Array
    settings: int
    sources: int
    places: Ranks
    times: Array
    unit: str
    confidence: float
    fixed: tuple[str, ...] = ()
    searched: bool = False

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
    settings = [one for results in datasets if (one := Evidence(metric, results)).tasks]
    names = common(settings)
    if len(names) < LEAST_METHODS or (ranks := places(settings, confidence)) is None:
        return None
    ranked = blocks(settings)
    order = np.argsort(ranked.mean(axis=1), kind="stable")
    named = {task.method: task.title for results in datasets for task in results.reported}
    methods = tuple(names[index] for index in order)
    titles = tuple(named[method] for method in methods)
    fixed = tuple(one.results.title for one in settings if not one.results.redrawn)
    unit = methods.index(reference) if reference in methods else 0
    times = _times([one.results for one in settings], methods)
    return Ranking(
        metric, methods, titles, ranked[order], len(settings), len(sharing(settings)), ranks[order],
        times / times[unit], titles[unit], confidence, fixed,
        any(task.trials for one in settings for task in one.tasks),
    )  # fmt: skip


def _times(datasets: Sequence[DatasetResults], methods: Sequence[str]) -> Array:
    """Return the seconds of a fit, a geometric mean over settings, (methods,)."""
    settings = [{task.method: task for task in results.reported} for results in datasets]
    seconds = [[tasks[name].seconds_per_fit for name in methods] for tasks in settings]
    mean_seconds: Array = stats.gmean(np.maximum(np.array(seconds), 1e-3), axis=0)
    return mean_seconds


def table(ranking: Ranking) -> pd.DataFrame:
    """Return a row per method with its mean rank and the interval of its rank."""
    places = ranking.places
    return pd.DataFrame(
        {
            "method": ranking.titles,
            "mean_rank": ranking.means.round(4),
            "rank": places.rank,
            "rank_low": places.low,
            "rank_high": places.high,
        }
    )


def sentence(ranking: Ranking) -> str:
    """Return what the ranking rests on and what it may be read for."""
    methods, blocks = ranking.blocks.shape
    settings = "one setting" if ranking.settings == 1 else f"{ranking.settings} settings"
    return " ".join(
        [
            f"By {ranking.metric.label}, {ranking.metric.population}: {methods} methods ranked "
            f"within each of {blocks} blocks (the replicates of {settings}). Friedman's test of "
            f"equal ranks: p {_p(ranking.p_value)}. Critical difference of mean ranks (Nemenyi, α "
            f"= {1 - ranking.confidence:.2g}): {ranking.difference:.2f}. The interval of a rank "
            "goes from the number of methods that rank significantly better, plus one, to the "
            "number of those that do not rank significantly worse, by a bootstrap over blocks, and "
            f"covers the true rank with {ranking.confidence:.0%} confidence.",
            *_limits(ranking),
        ]
    )


def _limits(ranking: Ranking) -> Iterator[str]:
    """Yield what test and intervals leave out."""
    if ranking.settings > 1:
        yield "They hold for these settings: others would change ranks by more."
    if ranking.sources < ranking.settings:
        yield "Settings on the same data share their blocks, which have the mean ranks over them."
    if ranking.fixed:
        yield (
            f"The blocks of {', '.join(ranking.fixed)} share their data, so that the test and the "
            "critical difference leave out how other data would differ."
        )
    if ranking.searched:
        yield (
            "Each method has the hyper-parameters of one search: another search would change ranks "
            "too, which nothing here covers."
        )


def draw(ranking: Ranking) -> Figure:
    """Draw each mean rank with half a critical difference to each side, a diagram for many methods.

    Methods whose bars do not overlap are significantly different. At the right stand the ranks.
    """
    figure = Figure(figsize=(WIDTH, 1.25 + 0.19 * len(ranking.titles)))
    axes = figure.subplots()
    means, heights = ranking.means, np.arange(len(ranking.titles))
    alike = means <= means[0] + ranking.difference
    for group, color in ((alike, BLUE), (~alike, GREY)):
        axes.errorbar(
            means[group], heights[group], xerr=ranking.difference / 2, fmt="o", color=color, ms=4
        )
    axes.axvline(means[0] + ranking.difference / 2, color=BLUE, lw=0.8, ls=":")
    size = 7 if len(heights) > 20 else 8.5
    axes.set_yticks(heights, ranking.titles, fontsize=size)
    axes.set_ylim(len(heights) - 0.4, -0.6)
    axes.set_xlim(0, len(heights) + 1)
    axes.tick_params(axis="y", length=0)
    bounds = zip(ranking.places.rank, ranking.places.low, ranking.places.high, strict=True)
    for height, (own, low, high) in enumerate(bounds):
        axes.annotate(
            f"{own:g} [{low}–{high}]", (1.02, height), xycoords=("axes fraction", "data"),
            va="center", fontsize=size, color=BLUE if alike[height] else "0.35",
        )  # fmt: skip
    axes.set_xlabel(
        f"mean rank by {ranking.metric.label}, {ranking.metric.population}, over "
        f"{ranking.blocks.shape[1]} blocks (1 is best)\n± half a critical difference: methods "
        "whose bars do not overlap differ significantly\n"
        "blue: not significantly different from the best"
    )
    return figure


def rank_all(datasets: Sequence[DatasetResults], params: Params) -> list[Ranking]:
    """Return the ranking by each headline metric that allows one."""
    board = params.leaderboard
    metrics = [Metric.parse(name) for name in board.headline]
    ranked = (rank(datasets, metric, board.confidence, board.reference) for metric in metrics)
    return [one for one in ranked if one]


def write(rankings: Sequence[Ranking], folder: Path) -> list[Path]:
    """Write ``ranking.md``, ``ranking.csv`` and the pictures, whose paths are returned."""
    frames = [table(one).assign(metric=one.metric.name) for one in rankings]
    rows = pd.concat(frames) if frames else pd.DataFrame(columns=["method"])
    write_csv(folder / "ranking.csv", rows)
    write_text(folder / "ranking.md", "\n\n".join([_HEAD, *map(_section, rankings)]) + "\n")
    return save(_figures(rankings), folder / "plots", "ranking")


def _figures(rankings: Sequence[Ranking]) -> Iterator[tuple[str, Figure]]:
    """Yield a picture of each ranking; against cost too, where no single setting's table has it."""
    for one in rankings:
        yield f"ranking_{one.metric.name}", draw(one)
    for one in rankings[:1]:
        if one.settings > 1:
            yield "ranking_cost", rank_costs(one)


_HEAD = """# Ranking over all settings

Generated by `python -m benchmark report`; do not edit. A block is a replicate of a setting."""


def _section(ranking: Ranking) -> str:
    places = ranking.places
    rows = [
        [title, f"{mean:.2f}", f"{own:g}", f"{low}–{high}"]
        for title, mean, own, low, high in zip(
            ranking.titles, ranking.means, places.rank, places.low, places.high, strict=True
        )
    ]
    head = ["Method", "Mean rank", "Rank", f"{ranking.confidence:.0%} interval"]
    grid = pd.DataFrame(rows, columns=head).to_markdown(
        index=False, disable_numparse=True, colalign=("left", "right", "right", "right")
    )
    return (
        f"## {ranking.metric.label}, {ranking.metric.population}\n\n{sentence(ranking)}\n\n{grid}"
    )


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"
