"""One dataset's comparison: which metrics, which order, what is best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.config import Leaderboard, Params
from benchmark.reporting.contrasts import Cell, Gain, column, defined, gains
from benchmark.reporting.facts import facts, notes
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.records import DatasetResults, Task
from benchmark.reporting.statistics import ranks, resolvable


@dataclass(frozen=True)
class Lead:
    """What is reported of the first headline metric alone: ranks, and what the design resolves.

    ``ranks`` has the rank of a method with the limits of its interval. ``resolvable`` is the
    smallest difference to the reference that is found with 80 % power, in one comparison and
    corrected for ``comparisons``; it is None without a reference or with one replicate.
    """

    metric: Metric
    ranks: dict[str, tuple[float, int, int]]
    reference: str | None
    resolvable: tuple[float, float] | None
    comparisons: int


@dataclass(frozen=True)
class Row:
    """A method: one cell per metric, None where undefined."""

    task: Task
    cells: dict[Metric, Cell | None]
    lead: Lead | None = None

    @property
    def costs(self) -> dict[str, str]:
        """What it took, by column."""
        diverged = sum(fit.diverged is not None for fit in self.task.trials)
        return {
            "Replicates": str(len(self.task.replicates)),
            "Trials": f"{len(self.task.trials)}" + (f" ({diverged} diverged)" if diverged else ""),
            "Parameters": _count(self.task.replicates[0].parameters),
            "Time": duration(self.task.seconds),
        }

    @property
    def leads(self) -> bool:
        """Whether no method is significantly better in the first headline metric."""
        cell = self.cells.get(self.lead.metric) if self.lead else None
        return cell is not None and cell.best

    @property
    def comparison(self) -> dict[str, str]:
        """What the first headline metric says of it, by column; "–" where nothing can be said."""
        cell = self.cells.get(self.lead.metric) if self.lead else None
        if self.lead is None or cell is None:
            return {}
        over, style = self.lead.reference, f"+{cell.style.lstrip('+')}"
        rank, low, high = self.lead.ranks.get(self.task.method, (0, 0, 0))
        return {
            f"Δ to {over}": _gain(cell.gain, style),
            f"Δ to {over} of equal capacity": _gain(cell.matched, style, verdict=True),
            "Rank": f"{rank:g} [{low}–{high}]" if rank else "–",
            "Verdict": cell.gain.verdict if cell.gain else "–",
            "Default": cell.default.text(cell.style) if cell.default else "–",
            "Gain by tuning": _gain(cell.tuning, style, verdict=True),
        }


def _count(parameters: int) -> str:
    """Return the number of trained parameters, which methods without a network do not have."""
    return f"{parameters:,}" if parameters else "–"


def _gain(gain: Gain | None, style: str, *, verdict: bool = False) -> str:
    if gain is None:
        return "–"
    text = gain.difference.interval.text(style)
    return f"{text}, {gain.verdict}" if verdict else text


@dataclass(frozen=True)
class Table:
    """Methods from best to worst by ``headline[0]``."""

    results: DatasetResults
    headline: tuple[Metric, ...]
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    lead: Lead | None
    facts: dict[str, str]
    notes: tuple[str, ...]

    @property
    def comparison(self) -> dict[str, list[str]]:
        """The columns of the comparison that say something of any method, a text per row."""
        rows = [row.comparison for row in self.rows]
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name, "–") for row in rows] for name in names}
        return {name: texts for name, texts in columns.items() if set(texts) != {"–"}}

    @property
    def excluded(self) -> list[Task]:
        """The tasks that are not in the table."""
        return [task for task in self.results.tasks if task.excluded is not None]

    @property
    def unverified(self) -> bool:
        """Whether it is unknown that the raw files are the published ones."""
        return self.results.schema is not None and not self.results.schema.verified


def build(results: DatasetResults, params: Params) -> Table:
    """Compare the finished methods of a dataset.

    Raises:
        LookupError: ``params.yaml`` names an unknown metric.
    """
    headline = _defined(params.leaderboard.headline, results)
    metrics = _defined(params.leaderboard.columns, results)
    wanted = dict.fromkeys((*headline, *metrics))
    columns = {
        metric: column(metric, results.reported, params.leaderboard, results.widened)
        for metric in wanted
    }
    lead = _lead(headline[0], results.reported, params.leaderboard) if headline else None
    rows = [
        Row(task, {metric: cells[task.method] for metric, cells in columns.items()}, lead)
        for task in results.reported
    ]
    rows.sort(key=lambda row: (_cost(row.task, headline), row.task.method))
    compared = _comparison_notes(lead, tuple(rows), params.leaderboard) if lead else ()
    read = (*notes(results, params), *compared)
    return Table(results, headline, metrics, tuple(rows), lead, facts(results, params), read)


def _lead(metric: Metric, tasks: Sequence[Task], params: Leaderboard) -> Lead:
    values, confidence = defined(metric, tasks), params.confidence
    costs = metric.measure.cost(np.array(list(values.values())))
    found = ranks(costs, confidence) if len(costs) > 1 else None
    places = zip(found.rank, found.low, found.high, strict=True) if found else ()
    by_method = {
        method: (float(rank), int(low), int(high))
        for method, (rank, low, high) in zip(values, places, strict=False)
    }
    over = gains(metric, tasks, params.reference)
    title = next((task.title for task in tasks if task.method == params.reference), None)
    comparisons = 0 if over is None else len(over)
    return Lead(metric, by_method, title, _smallest(over, confidence), comparisons)


def _smallest(over: Array | None, confidence: float) -> tuple[float, float] | None:
    if over is None:
        return None
    single, corrected = (resolvable(over, confidence, n) for n in (1, len(over)))
    return None if single is None or corrected is None else (single, corrected)


def duration(seconds: float) -> str:
    """Return a time in a unit that suits its size."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _defined(names: Iterable[str], results: DatasetResults) -> tuple[Metric, ...]:
    metrics = [Metric.parse(name) for name in names]
    return tuple(
        metric
        for metric in metrics
        if any(task.values(metric.name) is not None for task in results.reported)
    )


def _cost(task: Task, headline: tuple[Metric, ...]) -> float:
    values = task.values(headline[0].name) if headline else None
    return float("inf") if values is None else float(headline[0].measure.cost(values).mean())


def _comparison_notes(lead: Lead, rows: tuple[Row, ...], params: Leaderboard) -> Iterator[str]:
    """Yield how to read the columns of the comparison."""
    over, metric, level = lead.reference, lead.metric, 1 - params.confidence
    cells = [cell for row in rows if (cell := row.cells[metric])]
    if any(cell.gain for cell in cells):
        margin = metric.margin
        yield (
            f"Δ to {over}: by how much {metric.label}, {metric.population}, is better than that "
            f"of {over}, paired over replicates (above 0: better), with the interval of a single "
            f"comparison. Verdict: better or worse if that is significant at level {level:.2g} "
            f"after Holm's correction for {lead.comparisons} methods"
            + (
                ""
                if margin is None
                else f"; equivalent if the difference is below {margin:g} by two one-sided tests"
            )
            + "; else undecided."
        )
    elif params.reference:
        yield f"No Δ: the reference method {params.reference!r} has no result with this metric."
    if lead.resolvable:
        single, corrected = lead.resolvable
        yield (
            f"Smallest difference to {over} that is found with 80 % power: {single:.4f} in a "
            f"single comparison, {corrected:.4f} after Holm's correction."
        )
    if any(cell.matched for cell in cells):
        yield "Equal capacity: the variant of the reference with a similar number of parameters."
    if lead.ranks:
        yield (
            "Rank: by the mean; the interval goes from the number of methods that are "
            "significantly better, plus one, to the number that are not significantly worse, by a "
            "paired bootstrap over replicates."
        )
    if any(cell.default for cell in cells):
        yield (
            "Default: the default hyper-parameters on the same replicates; they start from the "
            "published ones where those are known, and the method's page says which."
        )
    if any(cell and cell.few for row in rows for cell in row.cells.values()):
        yield "†: fewer than 30 positives in a replicate; never bold."
