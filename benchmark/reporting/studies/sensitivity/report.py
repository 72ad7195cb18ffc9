"""A sensitivity study in words and tables: which method is best in which setting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmark.config import Params
from benchmark.reporting.facts import LATE, code_notes
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.statistics import interval
from benchmark.reporting.studies.sensitivity import effects
from benchmark.reporting.studies.sensitivity.comparison import ALL, Comparison, alike, quantity
from benchmark.reporting.table import Table

NAMES = 3  # methods that a cell lists


def conditions(comparison: Comparison, params: Params) -> list[str]:
    """Return what the numbers rest on and what they cannot say."""
    trials, replicates = params.protocol.tuning.trials, params.replicates
    tables = comparison.tables.values()
    tuned = (
        f"Every method was tuned with {trials} trials in each setting."
        if trials
        else "Nothing was tuned: every method uses its defaults (the method's page gives the "
        "origin of each, and where published runs have another value), and the same optimiser "
        f"(learning rate {params.protocol.learning_rate.default:g}). A method whose defaults suit "
        "this simulation badly ranks low for that reason alone."
    )
    drawn = (
        f"Each of the {replicates} replicates of a setting is a fresh draw of its data and of the "
        "initial weights, with the same data for all methods."
        if any(table.results.redrawn for table in tables)
        else f"Each setting is one draw of data, and the {replicates} replicates repeat the "
        "training only: intervals and tests leave out how another draw would differ."
    )
    late = [LATE] if any(_timed(table) for table in tables) else []
    return [
        "Each setting changes one factor of the simulation. " + tuned,
        drawn,
        "Not significantly different: a two-sided paired t-test over the replicates, at level "
        f"{1 - comparison.confidence:.2g} and corrected by Holm's method for the number of "
        f"methods, finds no difference from the best mean. {_power(comparison, replicates)}"
        "The best method is chosen on the same replicates, so its lead is optimistically biased "
        "(winner's curse).",
        "The mean over all settings is tested over the settings' means instead, as if they were a "
        "sample of the settings that could be.",
        *late,
        *dict.fromkeys(note for table in tables for note in code_notes(table.results)),
        "The settings are simulated. What may be claimed is how methods react to a factor here, "
        "not their order on a real dataset.",
    ]


def _power(comparison: Comparison, replicates: int) -> str:
    """Return what the tests within a setting can find, which is little, in the median setting."""
    leads = [table.lead for table in comparison.tables.values() if table.lead]
    known = [lead.resolvable[1] for lead in leads if lead.resolvable]
    least = (
        f" (80 % power for {np.median(known):.3f} of {quantity(comparison.headline[0])} to "
        f"{leads[0].reference}, in the median setting)"
        if known
        else ""
    )
    return (
        f"With {replicates} replicates it finds large differences only{least}, so it is no proof "
        "of equality. "
    )


def _timed(table: Table) -> bool:
    return table.results.schema is not None and table.results.schema.attribution_window is not None


def findings(comparison: Comparison) -> list[str]:
    """Return what the tables say, in sentences."""
    return [
        *(_overall(comparison, m) for m in comparison.headline),
        *filter(None, (effects.finding(comparison, m) for m in comparison.headline)),
        _baselines(comparison),
        *_stability(comparison),
    ]


def by_setting(comparison: Comparison, metric: Metric) -> pd.DataFrame:
    """Return the best methods of each setting, and of their average, as text."""
    rows = []
    for setting in comparison.tables:
        label = dict(zip(("Factor", "Level"), comparison.label(setting), strict=True))
        costs = _costs(comparison, setting, metric)
        rows.append(label | _verdict(comparison, costs, _mean(comparison, costs)))
    overall = comparison.overall(metric)
    rows.append(
        {"Factor": ALL, "Level": "mean"} | _verdict(comparison, overall, _mean(comparison, overall))
    )
    return pd.DataFrame(rows)


def by_method(comparison: Comparison) -> pd.DataFrame:
    """Return how each method's rank varies, and in how many settings it is among the best.

    Those that are not significantly different from the best are among the best.
    """
    ordered = [
        *comparison.ranks[comparison.headline[0]].mean(axis=1).sort_values(kind="stable").index
    ]
    rest = sorted(set(comparison.titles) - set(ordered))
    rows = []
    for method in [*ordered, *rest]:
        row = {"Method": comparison.titles[method]}
        for metric in comparison.headline:
            what = quantity(metric)
            row[f"Mean of the settings' ranks (range), {what}"] = _range(comparison, method, metric)
            row[f"Among the best, {what}"] = _share(comparison, method, metric)
        rows.append(row)
    return pd.DataFrame(rows)


def left_out(comparison: Comparison) -> list[str]:
    """Return which methods are missing where, and why."""
    missing = Counter(
        (task.title, task.excluded)
        for table in comparison.tables.values()
        for task in table.excluded
    )
    total = len(comparison.tables)
    return [
        f"{title}, in {'all' if count == total else f'{count} of'} {total} settings: {reason}"
        for (title, reason), count in sorted(missing.items())
    ]


def _costs(comparison: Comparison, setting: str, metric: Metric) -> dict[str, Array]:
    cells = {method: comparison.cell(setting, method, metric) for method in comparison.titles}
    costs = {m: metric.measure.cost(cell.values) for m, cell in cells.items() if cell}
    return dict(sorted(costs.items(), key=lambda item: float(item[1].mean())))


def _mean(comparison: Comparison, costs: Mapping[str, Array]) -> str:
    """Return what methods are compared by, of the best: of a bias its distance from 0."""
    best = next(iter(costs.values()), None)
    if best is None:
        return ""
    spread = interval(best, comparison.confidence)
    return replace(spread, mean=abs(spread.mean)).text()


def _verdict(comparison: Comparison, costs: Mapping[str, Array], value: str) -> dict[str, str]:
    heads = "Best", "Not significantly different", "Baseline"
    if not costs:
        return dict.fromkeys(heads, "–")
    best, *others = alike(costs, comparison.confidence)
    names = [comparison.titles[method] for method in others]
    listed = ", ".join(names[:NAMES]) + ", …" * (len(names) > NAMES)
    texts = (
        f"{comparison.titles[best]} {value}",
        f"{len(others)} of {len(costs) - 1}" + (f": {listed}" if names else ""),
        _lag(comparison, costs),
    )
    return dict(zip(heads, texts, strict=True))


def _lag(comparison: Comparison, costs: Mapping[str, Array]) -> str:
    """Return by how much the better baseline is worse than the best method."""
    if (baseline := _baseline(comparison, costs)) is None:
        return "–"
    best = next(iter(costs))
    if baseline == best:
        return f"{comparison.titles[baseline]} is the best"
    lag = interval(costs[baseline] - costs[best], comparison.confidence)
    mark = "" if baseline in alike(costs, comparison.confidence) else ": significant"
    return f"{comparison.titles[baseline]} worse by {lag.text()}{mark}"


def _baseline(comparison: Comparison, costs: Mapping[str, Array]) -> str | None:
    return next((method for method in costs if method in comparison.study.baselines), None)


def _range(comparison: Comparison, method: str, metric: Metric) -> str:
    if method not in comparison.everywhere:
        return "–"
    ranks = comparison.ranks[metric].loc[method]
    return f"{ranks.mean():.1f} ({ranks.min():g}–{ranks.max():g})"


def _share(comparison: Comparison, method: str, metric: Metric) -> str:
    cells = [
        cell for setting in comparison.tables if (cell := comparison.cell(setting, method, metric))
    ]
    return f"{sum(cell.best for cell in cells)} of {len(cells)}"


def _overall(comparison: Comparison, metric: Metric) -> str:
    costs = comparison.overall(metric)
    if not costs:
        return f"No method has {quantity(metric)} in every setting."
    best, *others = alike(costs, comparison.confidence)
    return (
        f"By {quantity(metric)}, averaged over the {len(comparison.tables)} settings: "
        f"{comparison.titles[best]} is best; {len(others)} of the {len(costs) - 1} others in all "
        "settings are not significantly different from it. Best in single settings: "
        f"{_leaders(comparison, metric)}."
    )


def _leaders(comparison: Comparison, metric: Metric) -> str:
    """Return the methods that are best in several settings, and how many are in one."""
    costs = [_costs(comparison, setting, metric) for setting in comparison.tables]
    wins = Counter(next(iter(own)) for own in costs if own).most_common()
    named = [f"{comparison.titles[method]} in {count}" for method, count in wins if count > 1]
    once = [comparison.titles[method] for method, count in wins if count == 1]
    if once:
        named.append(f"{once[0] if len(once) == 1 else f'{len(once)} others'} in one")
    return ", ".join(named)


def _baselines(comparison: Comparison) -> str:
    names = [comparison.titles[m] for m in comparison.study.baselines if m in comparison.titles]
    if not names:
        return "No baseline is on record."
    settings = len(comparison.tables)
    counts = [
        f"in {_enough(comparison, metric)} of {settings} settings by {quantity(metric)}"
        for metric in comparison.headline
    ]
    return (
        f"The better baseline ({' or '.join(names)}) is not significantly different from the best "
        f"method {', '.join(counts)}."
    )


def _enough(comparison: Comparison, metric: Metric) -> int:
    """Return in how many settings the better baseline is not significantly worse than the best."""
    settings = [_costs(comparison, setting, metric) for setting in comparison.tables]
    return sum(
        _baseline(comparison, costs) in alike(costs, comparison.confidence)
        for costs in settings
        if costs
    )


def _stability(comparison: Comparison) -> Iterator[str]:
    for metric in comparison.headline:
        ranks = comparison.ranks[metric]
        if len(ranks) < 3 or ranks.shape[1] < 2:
            continue
        with_base = ranks.corr().iloc[0, 1:]
        least = comparison.name(str(with_base.idxmin()))
        yield (
            f"Ranks by {quantity(metric)}: their correlation with those of the base setting is "
            f"{with_base.median():.2f} in the median setting and least, {with_base.min():.2f}, "
            f"with {least}; {_steady(comparison, ranks)}"
        )


def _steady(comparison: Comparison, ranks: pd.DataFrame) -> str:
    low, high = ranks.min(axis=1), ranks.max(axis=1)
    names: Sequence[str] = [
        f"{comparison.titles[str(method)]} ({low[method]:g} to {high[method]:g})"
        for method in ((high - low).idxmin(), (high - low).idxmax())
    ]
    return f"the steadiest rank is that of {names[0]}, the least steady that of {names[1]}."
