"""One dataset's comparison: which metrics, which order, what is best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmark.config import Leaderboard, Params
from benchmark.reporting.contrasts import Cell, Gain, column, gains
from benchmark.reporting.evidence import Evidence, common, places
from benchmark.reporting.facts import facts, notes
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.records import DatasetResults, Task
from benchmark.reporting.statistics import Resampled, resolvable


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
        diverged = sum(trial.diverged is not None for trial in self.task.trials)
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
            "Δ within the family": _gain(cell.own, style, verdict=True, over=True),
            f"Δ to {over} of equal capacity": _gain(cell.matched, style, verdict=True),
            "Rank": f"{rank:g} [{low}–{high}]" if rank else "–",
            "Verdict": cell.gain.verdict if cell.gain else "–",
            "Default": cell.default.text(cell.style) if cell.default else "–",
            "Gain by tuning": _gain(cell.tuning, style, verdict=True),
        }


def _count(parameters: int) -> str:
    """Return the number of trained parameters, which methods without a network do not have."""
    return f"{parameters:,}" if parameters else "–"


def _gain(gain: Gain | None, style: str, *, verdict: bool = False, over: bool = False) -> str:
    if gain is None:
        return "–"
    text = gain.difference.interval.text(style) + (f" to {gain.over}" if over else "")
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
    shown = dict.fromkeys((*headline, *metrics))
    columns = {metric: column(metric, results, params.leaderboard) for metric in shown}
    lead = _lead(Evidence(headline[0], results), params.leaderboard) if headline else None
    rows = [
        Row(task, {metric: cells[task.method] for metric, cells in columns.items()}, lead)
        for task in results.reported
    ]
    rows.sort(key=lambda row: (_cost(row.task, headline), row.task.method))
    compared = _comparison_notes(lead, tuple(rows), params.leaderboard) if lead else ()
    read = (*notes(results, params), *compared)
    return Table(results, headline, metrics, tuple(rows), lead, facts(results, params), read)


def _lead(evidence: Evidence, params: Leaderboard) -> Lead:
    ranks = places([evidence], params.confidence)
    by_method = {
        method: (float(ranks.rank[index]), int(ranks.low[index]), int(ranks.high[index]))
        for index, method in enumerate(common([evidence]) if ranks else ())
        if ranks
    }
    over = gains(evidence, params.reference)
    titles = {task.method: task.title for task in evidence.results.reported}
    return Lead(
        evidence.metric,
        by_method,
        titles.get(params.reference or ""),
        _smallest(over, params.confidence),
        len(over[0]) if over else 0,
    )


def _smallest(
    over: tuple[Array, Resampled | None] | None, confidence: float
) -> tuple[float, float] | None:
    if over is None:
        return None
    rows, data = over
    single, corrected = (resolvable(rows, confidence, n, data=data) for n in (1, len(rows)))
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
    cells = [cell for row in rows if (cell := row.cells[lead.metric])]
    yield from _gain_notes(lead, cells, params)
    if any(cell.own for cell in cells):
        yield (
            "Δ within the family: the same to the reference of the method's own family, which "
            "differs from it in debiasing, and in its own search where methods are tuned."
        )
    if any(cell.matched for cell in cells):
        yield (
            "Equal capacity: of the variants of the reference with no more than 1.1 times the "
            "method's parameters, the one that is best on the validation splits (leaderboard.csv "
            "names it); none where no variant has about as many."
        )
    if lead.ranks:
        yield (
            "Rank: by the mean over replicates of the rank within each, which one failed replicate "
            "moves little, so that the order may differ from that of the means; the interval goes "
            "from the number of methods that rank significantly better, plus one, to the number "
            "that do not rank significantly worse, by a paired bootstrap over replicates."
        )
    if any(cell.default for cell in cells):
        yield (
            "Default: the default hyper-parameters on the same replicates; the method's page gives "
            "the origin of each, and where published runs have another value."
        )
    if any(cell and cell.few for row in rows for cell in row.cells.values()):
        yield "†: fewer than 30 positives in a replicate; never bold."


def _gain_notes(lead: Lead, cells: Sequence[Cell], params: Leaderboard) -> Iterator[str]:
    over, metric, level = lead.reference, lead.metric, 1 - params.confidence
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
            f"Smallest difference to {over} that is found with 80 % power, for the method with the "
            f"median standard error: {single:.4f} in a single comparison, {corrected:.4f} after "
            "Holm's correction."
        )
