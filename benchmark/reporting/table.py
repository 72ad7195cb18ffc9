"""One dataset's comparison: which metrics, which order, what is best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmark.config import Leaderboard, Params
from benchmark.reporting.facts import facts, notes
from benchmark.reporting.metric import Array, Interval, Metric, indistinguishable, interval
from benchmark.reporting.records import DatasetResults, Task


@dataclass(frozen=True)
class Cell:
    """A metric of a method; ``best`` if no method is distinguishably better."""

    interval: Interval
    seeds: Array
    best: bool
    style: str

    def text(self, plus_minus: str = " ± ") -> str:
        """Return mean and half-width of the interval."""
        mean, half_width = format(self.interval.mean, self.style), self.interval.half_width
        if half_width is None:
            return mean
        return f"{mean}{plus_minus}{half_width:{self.style.lstrip('+')}}"


@dataclass(frozen=True)
class Row:
    """A method: one cell per metric, None where undefined."""

    task: Task
    cells: dict[Metric, Cell | None]

    @property
    def costs(self) -> dict[str, str]:
        """What it took, by column."""
        diverged = sum(fit.diverged is not None for fit in self.task.trials)
        return {
            "Seeds": str(len(self.task.seeds)),
            "Trials": f"{len(self.task.trials)}" + (f" ({diverged} diverged)" if diverged else ""),
            "Parameters": f"{self.task.seeds[0].parameters:,}",
            "Time": duration(self.task.seconds),
        }


@dataclass(frozen=True)
class Table:
    """Methods from best to worst by ``headline[0]``."""

    log: DatasetResults
    headline: tuple[Metric, ...]
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    facts: dict[str, str]
    notes: tuple[str, ...]

    @property
    def excluded(self) -> list[Task]:
        """The tasks that are not in the table."""
        return [task for task in self.log.tasks if task.excluded is not None]

    @property
    def unverified(self) -> bool:
        """Whether it is unknown that the raw files are the published ones."""
        return self.log.schema is not None and not self.log.schema.verified


def build(log: DatasetResults, params: Params) -> Table:
    """Compare the finished methods of a dataset.

    Raises:
        LookupError: ``params.yaml`` names an unknown metric.
    """
    headline = _defined(params.leaderboard.headline, log)
    metrics = _defined(params.leaderboard.columns, log)
    wanted = dict.fromkeys((*headline, *metrics))
    columns = {metric: _column(metric, log.reported, params.leaderboard) for metric in wanted}
    rows = [
        Row(task, {metric: column[task.method] for metric, column in columns.items()})
        for task in log.reported
    ]
    rows.sort(key=lambda row: (_cost(row.task, headline), row.task.method))
    return Table(log, headline, metrics, tuple(rows), facts(log, params), notes(log, params))


def duration(seconds: float) -> str:
    """Return a time in a unit that suits its size."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _defined(names: Iterable[str], log: DatasetResults) -> tuple[Metric, ...]:
    metrics = [Metric.parse(name) for name in names]
    return tuple(
        metric
        for metric in metrics
        if any(task.values(metric.name) is not None for task in log.reported)
    )


def _column(metric: Metric, tasks: Iterable[Task], params: Leaderboard) -> dict[str, Cell | None]:
    values = {task.method: task.values(metric.name) for task in tasks}
    costs = [metric.measure.cost(array) for array in values.values() if array is not None]
    best = min(costs, key=np.mean)
    return {
        method: None
        if array is None
        else Cell(
            interval(array, params.confidence),
            array,
            indistinguishable(metric.measure.cost(array), best, params.confidence),
            metric.measure.style,
        )
        for method, array in values.items()
    }


def _cost(task: Task, headline: tuple[Metric, ...]) -> float:
    values = task.values(headline[0].name) if headline else None
    return float("inf") if values is None else float(headline[0].measure.cost(values).mean())
