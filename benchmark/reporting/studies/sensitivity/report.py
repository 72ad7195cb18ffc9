"""A sweep in words and tables: which method is best in which world, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from benchmark.config import Params
from benchmark.reporting.facts import LATE
from benchmark.reporting.metric import Array, Metric, interval
from benchmark.reporting.studies.sensitivity.comparison import ALL, Comparison, alike, quantity
from benchmark.reporting.table import Table

NAMES = 3  # methods that a cell lists


def conditions(found: Comparison, params: Params) -> list[str]:
    """Return what the numbers rest on and what they cannot say."""
    trials, seeds = params.protocol.tuning.trials, len(params.protocol.seeds)
    tuned = (
        f"Every method was tuned with {trials} trials in each world."
        if trials
        else "Nothing was tuned: every method has its published defaults and the same optimiser "
        f"(learning rate {params.protocol.learning_rate.default:g}). One whose defaults suit this "
        "simulation badly ranks low for that reason alone."
    )
    late = [LATE] if any(_timed(table) for table in found.tables.values()) else []
    return [
        "Each knob of the simulation is turned alone, away from the base world. " + tuned,
        f"Each world is one draw of data, and the {seeds} seeds repeat the training only: "
        "intervals and tests leave out how another draw would differ.",
        "Not told apart: a two-sided paired t-test over the seeds, at level "
        f"{1 - found.confidence:.2g}, finds no difference from the best mean. With {seeds} seeds "
        "it finds large differences only, so it is no proof of equality; it is not corrected for "
        "the number of methods, and the best is chosen by the same seeds, which flatters its lead.",
        *late,
        "The worlds are simulated. What may be claimed is how methods react to a knob here, not "
        "their order on a real log.",
    ]


def _timed(table: Table) -> bool:
    return table.log.schema is not None and table.log.schema.attribution_window is not None


def findings(found: Comparison) -> list[str]:
    """Return what the tables say, in sentences."""
    return [*(_overall(found, m) for m in found.headline), _baselines(found), *_stability(found)]


def by_world(found: Comparison, metric: Metric) -> pd.DataFrame:
    """Return the best methods of each world, and of their average, as text."""
    rows = []
    for world in found.tables:
        place = dict(zip(("Knob", "Level"), found.label(world), strict=True))
        costs = _costs(found, world, metric)
        rows.append(place | _verdict(found, costs, _best(found, world, metric)))
    overall = found.overall(metric)
    rows.append({"Knob": ALL, "Level": "mean"} | _verdict(found, overall, _mean(found, overall)))
    return pd.DataFrame(rows)


def by_method(found: Comparison) -> pd.DataFrame:
    """Return how each method's rank varies, and in how many worlds it is among the best.

    Among the best are those that are not told apart from it.
    """
    ordered = [*found.ranks[found.headline[0]].mean(axis=1).sort_values(kind="stable").index]
    rest = sorted(set(found.titles) - set(ordered))
    rows = []
    for method in [*ordered, *rest]:
        row = {"Method": found.titles[method]}
        for metric in found.headline:
            what = quantity(metric)
            row[f"Mean rank (range), {what}"] = _range(found, method, metric)
            row[f"Among the best, {what}"] = _share(found, method, metric)
        rows.append(row)
    return pd.DataFrame(rows)


def left_out(found: Comparison) -> list[str]:
    """Return which methods are missing where, and why."""
    missing = Counter(
        (task.title, task.excluded) for table in found.tables.values() for task in table.excluded
    )
    total = len(found.tables)
    return [
        f"{title}, in {'all' if count == total else f'{count} of'} {total} worlds: {reason}"
        for (title, reason), count in sorted(missing.items())
    ]


def _costs(found: Comparison, world: str, metric: Metric) -> dict[str, Array]:
    cells = {method: found.cell(world, method, metric) for method in found.titles}
    costs = {m: metric.measure.cost(cell.seeds) for m, cell in cells.items() if cell}
    return dict(sorted(costs.items(), key=lambda item: float(item[1].mean())))


def _best(found: Comparison, world: str, metric: Metric) -> str:
    best = next(iter(_costs(found, world, metric)), None)
    cell = found.cell(world, best, metric) if best else None
    return cell.text() if cell else ""


def _mean(found: Comparison, overall: Mapping[str, Array]) -> str:
    best = next(iter(overall.values()), None)
    if best is None:
        return ""
    spread = interval(best, found.confidence)
    return f"{abs(spread.mean):.4f}{_plus_minus(spread.half_width)}"


def _verdict(found: Comparison, costs: Mapping[str, Array], value: str) -> dict[str, str]:
    heads = "Best", "Not told apart from it", "Baseline"
    if not costs:
        return dict.fromkeys(heads, "–")
    best, *others = alike(costs, found.confidence)
    names = [found.titles[method] for method in others]
    listed = ", ".join(names[:NAMES]) + ", …" * (len(names) > NAMES)
    texts = (
        f"{found.titles[best]} {value}",
        f"{len(others)} of {len(costs) - 1}" + (f": {listed}" if names else ""),
        _lag(found, costs),
    )
    return dict(zip(heads, texts, strict=True))


def _lag(found: Comparison, costs: Mapping[str, Array]) -> str:
    """Return by how much the better baseline is worse than the best method."""
    if (baseline := _baseline(found, costs)) is None:
        return "–"
    best = next(iter(costs))
    if baseline == best:
        return f"{found.titles[baseline]} is the best"
    lag = interval(costs[baseline] - costs[best], found.confidence)
    told = "" if baseline in alike(costs, found.confidence) else ": told apart"
    return f"{found.titles[baseline]} worse by {lag.mean:.4f}{_plus_minus(lag.half_width)}{told}"


def _baseline(found: Comparison, costs: Mapping[str, Array]) -> str | None:
    return next((method for method in costs if method in found.sweep.baselines), None)


def _plus_minus(half_width: float | None) -> str:
    return "" if half_width is None else f" ± {half_width:.4f}"


def _range(found: Comparison, method: str, metric: Metric) -> str:
    if method not in found.everywhere:
        return "–"
    ranks = found.ranks[metric].loc[method]
    return f"{ranks.mean():.1f} ({ranks.min():g}–{ranks.max():g})"


def _share(found: Comparison, method: str, metric: Metric) -> str:
    cells = [cell for world in found.tables if (cell := found.cell(world, method, metric))]
    return f"{sum(cell.best for cell in cells)} of {len(cells)}"


def _overall(found: Comparison, metric: Metric) -> str:
    costs = found.overall(metric)
    if not costs:
        return f"No method has {quantity(metric)} in every world."
    best, *others = alike(costs, found.confidence)
    wins = Counter(next(iter(_costs(found, world, metric)), None) for world in found.tables)
    leaders = ", ".join(
        f"{found.titles[method]} in {count}" for method, count in wins.most_common() if method
    )
    return (
        f"By {quantity(metric)}, averaged over the {len(found.tables)} worlds: "
        f"{found.titles[best]} is best; {len(others)} of the {len(costs) - 1} others in all worlds "
        f"are not told apart from it. Best in single worlds: {leaders}."
    )


def _baselines(found: Comparison) -> str:
    names = [found.titles[m] for m in found.sweep.baselines if m in found.titles]
    if not names:
        return "No baseline is on record."
    counts = [
        f"in {_enough(found, metric)} of {len(found.tables)} worlds by {quantity(metric)}"
        for metric in found.headline
    ]
    return (
        f"The better baseline ({' or '.join(names)}) is not told apart from the best method "
        f"{', '.join(counts)}."
    )


def _enough(found: Comparison, metric: Metric) -> int:
    """Return in how many worlds the better baseline is not told apart from the best method."""
    worlds = [_costs(found, world, metric) for world in found.tables]
    return sum(
        _baseline(found, costs) in alike(costs, found.confidence) for costs in worlds if costs
    )


def _stability(found: Comparison) -> Iterator[str]:
    for metric in found.headline:
        ranks = found.ranks[metric]
        if len(ranks) < 3 or ranks.shape[1] < 2:
            continue
        with_base = ranks.corr().iloc[0, 1:]
        least = " ".join(found.label(str(with_base.idxmin())))
        yield (
            f"Ranks by {quantity(metric)}: their correlation with those of the base world is "
            f"{with_base.median():.2f} in the median world and least, {with_base.min():.2f}, with "
            f"{least}; {_steady(found, ranks)}"
        )


def _steady(found: Comparison, ranks: pd.DataFrame) -> str:
    low, high = ranks.min(axis=1), ranks.max(axis=1)
    names: Sequence[str] = [
        f"{found.titles[str(method)]} ({low[method]:g} to {high[method]:g})"
        for method in ((high - low).idxmin(), (high - low).idxmax())
    ]
    return f"the steadiest rank is that of {names[0]}, the least steady that of {names[1]}."
