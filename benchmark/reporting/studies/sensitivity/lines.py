"""What is drawn of a factor: a line per method in each panel, and which methods are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.reporting.contrasts import Cell
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.statistics import Interval, interval
from benchmark.reporting.studies.sensitivity.comparison import Comparison, quantity


@dataclass(frozen=True)
class Panel:
    """One quantity of all methods: a mean by the index of each level that a method has."""

    title: str
    lines: dict[str, dict[int, Interval]]
    style: str = ".3f"
    ideal: float | None = None
    best_on_top: bool = False


def panels(comparison: Comparison, settings: Sequence[str]) -> Iterator[Panel]:
    """Yield every metric, also without sign where it should be 0, and the ranks."""
    for metric in comparison.columns:
        measure, title = metric.measure, f"{metric.label}, {metric.population}"
        ideal = {"→0": 0.0, "→1": 1.0}.get(measure.arrow)
        lines = _lines(comparison, settings, metric)
        yield Panel(f"{title} {measure.arrow}", lines, measure.style, ideal)
        if ideal == 0:
            sizes = _lines(comparison, settings, metric, np.abs)
            yield Panel(f"absolute {title} ↓", sizes, measure.style.lstrip("+"))
    for metric in comparison.headline if comparison.everywhere else ():
        ranks = comparison.ranks[metric]
        lines = {
            str(method): {index: Interval(row[w], None) for index, w in enumerate(settings)}
            for method, row in ranks.iterrows()
        }
        title = f"rank by {quantity(metric)}, of {len(ranks)}"
        yield Panel(title, lines, ".1f", best_on_top=True)


def _lines(
    comparison: Comparison,
    settings: Sequence[str],
    metric: Metric,
    of: Callable[[Array], Array] = np.positive,
) -> dict[str, dict[int, Interval]]:
    def point(cell: Cell) -> Interval:
        return interval(of(cell.values), comparison.confidence)

    return {
        method: {
            index: point(cell)
            for index, setting in enumerate(settings)
            if (cell := comparison.cell(setting, method, metric))
        }
        for method in comparison.titles
    }


def named(comparison: Comparison, settings: Sequence[str]) -> dict[str, str]:
    """Return the methods that stand out in some settings, and in what."""
    roles: dict[str, list[str]] = {
        method: ["baseline"] for method in comparison.study.baselines if method in comparison.titles
    }

    def give(method: str | None, role: str) -> None:
        if method:
            roles.setdefault(method, []).append(role)

    for index, metric in enumerate(comparison.headline):
        costs = _costs(comparison, settings, metric)
        what = quantity(metric)
        give(min(costs, key=lambda m: costs[m].mean(), default=None), f"best mean {what}")
        give(max(costs, key=lambda m: costs[m].mean(), default=None), f"worst mean {what}")
        if index == 0:
            give(max(costs, key=lambda m: np.ptp(costs[m]), default=None), f"{what} moves most")
    return {method: "; ".join(parts) for method, parts in roles.items()}


def _costs(comparison: Comparison, settings: Sequence[str], metric: Metric) -> dict[str, Array]:
    """Return the mean cost in each setting, of the methods that all of them have."""
    cells = {
        m: [comparison.cell(setting, m, metric) for setting in settings] for m in comparison.titles
    }
    return {
        method: np.array([metric.measure.cost(cell.values).mean() for cell in of if cell])
        for method, of in cells.items()
        if all(of)
    }
