"""Which method when, as an estimate: the effect of each method in each setting, with shrinkage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.palette import BLUE, GREY, WIDTH
from benchmark.reporting.shrinkage import Effects, shrunken
from benchmark.reporting.statistics import Interval, interval
from benchmark.reporting.studies.sensitivity.comparison import Comparison, quantity

LEAST_SETTINGS = 4
COLUMNS, HEIGHT = 4, 1.15  # panels in a line, inches
FENCE = 3.0  # the axis ends this many interquartile ranges beyond the quartiles
EQUAL = "Mean effect, equal capacity"
SAME = "no difference between settings found"


@dataclass(frozen=True)
class Effect:
    """How much better a method is than the reference: ``raw`` (settings,) and its estimates.

    ``mean`` is over settings, ``matched`` the same of the gain over the reference of equal
    capacity, None where a setting has none.
    """

    method: str
    raw: Array
    estimate: Effects
    mean: Interval
    matched: Interval | None


def effects(comparison: Comparison, metric: Metric) -> list[Effect]:
    """Return the effects of all methods that every setting has, from the best mean on.

    None where the reference is not among them, or settings or replicates are too few.
    """
    reference = comparison.reference
    others = [method for method in comparison.everywhere if method != reference]
    if reference not in comparison.everywhere or len(comparison.tables) < LEAST_SETTINGS:
        return []
    base = _costs(comparison, reference, metric)
    if base.shape[1] == 1:
        return []
    gains = {method: base - _costs(comparison, method, metric) for method in others}
    rows = [
        Effect(
            method,
            gain.mean(axis=1),
            shrunken(gain, comparison.confidence),
            interval(gain.mean(axis=1), comparison.confidence),
            _matched(comparison, method, metric),
        )
        for method, gain in gains.items()
    ]
    return sorted(rows, key=lambda effect: -effect.mean.mean)


def _matched(comparison: Comparison, method: str, metric: Metric) -> Interval | None:
    cells = [comparison.cell(setting, method, metric) for setting in comparison.tables]
    gains = [cell.matched.difference.interval.mean for cell in cells if cell and cell.matched]
    if len(gains) < len(cells):
        return None
    return interval(np.array(gains), comparison.confidence)


def _costs(comparison: Comparison, method: str, metric: Metric) -> Array:
    """Return the costs in each setting, (settings, replicates)."""
    cells = [comparison.cell(setting, method, metric) for setting in comparison.tables]
    return np.array([metric.measure.cost(cell.values) for cell in cells if cell])


def explained(comparison: Comparison, metric: Metric) -> str:
    """Return how to read the table and the picture."""
    name = comparison.titles.get(comparison.reference or "", comparison.reference)
    return (
        f"Effect: by how much {quantity(metric)} is better than that of {name}, paired over "
        "replicates (above 0: better). A mixed model per method (a mean over settings, a deviation "
        "of each setting, noise of replicates, which may differ between settings) shrinks each "
        "setting's effect towards the mean by as much as noise explains; "
        f"the {comparison.confidence:.0%} intervals allow for it, and are not corrected for the "
        "number of methods. The mean's interval takes the settings for a sample of those that "
        f"could be. Equal capacity: the same mean over the best {name} with no more than 1.1 times "
        "the method's parameters, by the validation splits of each setting."
    )


def table(comparison: Comparison, metric: Metric) -> pd.DataFrame:
    """Return a row per method: its mean effect, how that varies, and where it is the extreme."""
    style = f"+{metric.measure.style.lstrip('+')}"
    names = [comparison.name(setting) for setting in comparison.tables]
    rows = []
    for effect in effects(comparison, metric):
        own = effect.estimate
        above, below = own.above.sum(), own.below.sum()
        best, worst = int(np.argmax(own.effects)), int(np.argmin(own.effects))
        texts = (f"{own.effects[index]:{style}}" for index in (best, worst))
        varies = own.variance > 0 and len(set(texts)) > 1

        def at(index: int, own: Effects = own) -> str:
            limits = f"[{own.low[index]:{style}}, {own.high[index]:{style}}]"
            return f"{names[index]}: {own.effects[index]:{style}} {limits}"

        rows.append(
            {
                "Method": comparison.titles[effect.method],
                "Mean effect": effect.mean.text(style),
                EQUAL: effect.matched.text(style) if effect.matched else "–",
                "Standard deviation among settings": f"{own.variance**0.5:{style.lstrip('+')}}",
                "Best in": at(best) if varies else SAME,
                "Worst in": at(worst) if varies else "–",
                "Settings above 0, below 0": f"{above}, {below} of {len(names)}",
            }
        )
    return pd.DataFrame(rows)


def finding(comparison: Comparison, metric: Metric) -> str | None:
    """Return where methods do best and worst against the reference, None without effects."""
    rows = effects(comparison, metric)
    if not rows:
        return None
    better = np.sum([effect.estimate.above for effect in rows], axis=0)
    worse = np.sum([effect.estimate.below for effect in rows], axis=0)
    names = [comparison.name(setting) for setting in comparison.tables]

    def where(index: int) -> str:
        return f"{names[index]} ({better[index]} better, {worse[index]} worse)"

    above, below = _sides([effect.mean for effect in rows])
    matched = [effect.matched for effect in rows if effect.matched]
    name = comparison.titles[str(comparison.reference)]
    against = ""
    if matched:
        more, less = _sides(matched)
        against = (
            f" Against a {name} of equal capacity, of {len(matched)} methods that have one, {more} "
            f"are better and {less} worse."
        )
    fewest, most = int(np.argmin(better - worse)), int(np.argmax(better - worse))
    return (
        f"Against {name} by {quantity(metric)}: {above} of {len(rows)} methods are better on "
        f"average over the settings and {below} worse.{against} They do worst against {name} with "
        f"{where(fewest)} and best with {where(most)}, by intervals that are not corrected for the "
        "number of methods."
    )


def _sides(means: Sequence[Interval]) -> tuple[int, int]:
    """Return how many intervals are above 0, and how many below."""
    return sum(mean.low > 0 for mean in means), sum(mean.high < 0 for mean in means)


def frame(comparison: Comparison) -> pd.DataFrame:
    """Return a row per metric, method and setting."""
    rows = [row for metric in comparison.headline for row in _rows(comparison, metric)]
    return pd.DataFrame(rows)


def _rows(comparison: Comparison, metric: Metric) -> Iterator[dict[str, object]]:
    for effect in effects(comparison, metric):
        own = effect.estimate
        for index, setting in enumerate(comparison.tables):
            yield {
                "metric": metric.name,
                "method": effect.method,
                "setting": setting,
                "gain": effect.raw[index],
                "effect": own.effects[index],
                "low": own.low[index],
                "high": own.high[index],
                "retained": own.retained[index],
                "mean": effect.mean.mean,
                "mean_low": effect.mean.low,
                "mean_high": effect.mean.high,
                **_matched_columns(effect.matched),
            }


def _matched_columns(mean: Interval | None) -> dict[str, float | None]:
    names = ("mean", "low", "high")
    return {f"matched_{name}": getattr(mean, name) if mean else None for name in names}


def small_multiples(comparison: Comparison, metric: Metric) -> Figure:
    """Draw a panel per method: its effect in every setting, grey before the shrinkage."""
    rows, settings = effects(comparison, metric), list(comparison.tables)
    lines = -(-len(rows) // COLUMNS)
    figure = Figure(figsize=(WIDTH, HEIGHT * lines + 1.3))
    grid = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, effect in zip(grid, rows, strict=False):
        _panel(axes, effect, comparison.titles[effect.method])
        for index, (left, right) in enumerate(pairwise(settings)):
            if comparison.label(left)[0] != comparison.label(right)[0]:
                axes.axvline(index + 0.5, color="0.9", lw=0.6, zorder=0)
    for axes in grid[len(rows) :]:
        axes.set_visible(False)
    for axes in grid[max(0, len(rows) - COLUMNS) : len(rows)]:
        names = [comparison.name(setting) for setting in settings]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=4.5)
        axes.tick_params(axis="x", labelbottom=True)
    _limit(grid[0], np.concatenate([effect.estimate.effects for effect in rows]))
    name = comparison.titles.get(comparison.reference or "", "")
    figure.supylabel(f"gain in {quantity(metric)} over {name}", fontsize=8)
    return figure


def _panel(axes: Axes, effect: Effect, title: str) -> None:
    own, positions = effect.estimate, np.arange(len(effect.raw))
    axes.axhline(0, color="0.6", lw=0.7)
    axes.plot(positions, effect.raw, "x", color=GREY, ms=2.5, mew=0.6)
    errors = np.array([own.effects - own.low, own.high - own.effects])
    axes.errorbar(positions, own.effects, yerr=errors, fmt="o", color=BLUE, ms=2, lw=0.7)
    axes.set_title(title, fontsize=7)
    axes.grid(visible=False, axis="x")
    axes.tick_params(labelsize=6)


def _limit(axes: Axes, values: Array) -> None:
    """Let far-off methods leave the axes, where they would flatten all others."""
    first, third = np.quantile(values, [0.25, 0.75])
    reach = FENCE * (third - first)
    low, high = max(values.min(), first - reach), min(values.max(), third + reach)
    margin = 0.1 * (high - low) or 1.0
    axes.set_ylim(min(low, 0) - margin, max(high, 0) + margin)
