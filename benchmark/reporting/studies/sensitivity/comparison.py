"""A sweep as one table: every method in every world, with intervals, verdicts and ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.reporting.contrasts import Cell
from benchmark.reporting.metric import Array, Metric, indistinguishable, interval
from benchmark.reporting.records import DatasetResults, read_task
from benchmark.reporting.table import Row, Table, build
from benchmark.schema import Schema
from benchmark.studies import BASE, StudyParams, Sweep, world_name

ALL = "all worlds"


def read(params: StudyParams, sweep: Sweep, runs: Path, processed: Path) -> Comparison:
    """Compare the methods of ``params.yaml`` in every world.

    Raises:
        FileNotFoundError: a world was not prepared, or nothing is on record.
        ValueError: a knob has no number in the base world, or a record cannot be read.
    """
    tables = {}
    for world in sweep.worlds():
        schema = _schema(processed / world)
        tasks = [
            read_task(runs / method / world, method, schema, params.protocol)
            for method in params.methods
        ]
        tables[world] = build(DatasetResults(world, schema, tuple(tasks)), params)
    if not any(table.headline for table in tables.values()):
        raise FileNotFoundError(
            f"{runs} holds no finished run with a headline metric of params.yaml; run the stages "
            "of the study's dvc.yaml or `python -m benchmark sweep METHOD --study NAME` first"
        )
    return Comparison(tables, sweep, params.leaderboard.confidence)


def _schema(folder: Path) -> Schema:
    if not (folder / "schema.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no ready world; run `python -m benchmark worlds --study NAME` first"
        )
    return Schema.read(folder)


@dataclass(frozen=True)
class Comparison:
    """The tables of all worlds, by name."""

    tables: Mapping[str, Table]
    sweep: Sweep
    confidence: float

    @property
    def base(self) -> Table:
        """The table of the world that all knobs start from."""
        return self.tables[BASE]

    @cached_property
    def headline(self) -> list[Metric]:
        """The metrics that methods are ranked by."""
        return list(dict.fromkeys(m for table in self.tables.values() for m in table.headline))

    @cached_property
    def columns(self) -> list[Metric]:
        """The metrics that are drawn."""
        return list(dict.fromkeys(m for table in self.tables.values() for m in table.metrics))

    @cached_property
    def titles(self) -> dict[str, str]:
        """What methods are called, by the name of their file."""
        rows = [row for table in self.tables.values() for row in table.rows]
        return {row.task.method: row.task.title for row in rows}

    @cached_property
    def everywhere(self) -> list[str]:
        """The methods with all headline metrics in every world: they alone can be ranked."""
        return [
            method
            for method in self.titles
            if all(self.cell(world, method, m) for world in self.tables for m in self.headline)
        ]

    @cached_property
    def _rows(self) -> dict[tuple[str, str], Row]:
        return {(w, row.task.method): row for w, table in self.tables.items() for row in table.rows}

    def cell(self, world: str, method: str, metric: Metric) -> Cell | None:
        """Return what a method has in a world; None if it has no such metric there."""
        row = self._rows.get((world, method))
        return row.cells.get(metric) if row else None

    def label(self, world: str) -> tuple[str, str]:
        """Return the knob and the level of a world in words; the base has its name alone."""
        for knob, level in self.sweep.worlds()[world].items():
            return knob.replace("_", " "), f"{level:g}"
        return world, ""

    def levels(self, knob: str) -> dict[float, str]:
        """Return the worlds of a knob by level, the base among them, in the order of levels.

        Raises:
            ValueError: the knob has no number in the base world.
        """
        schema = self.base.log.schema
        start = schema.options[knob] if schema else None
        if not isinstance(start, int | float):
            raise ValueError(
                f"knob {knob} is {start!r} in the base world, which has no place among its levels; "
                "give it a number under `options` in the study's params.yaml"
            )
        worlds = {level: world_name(knob, level) for level in self.sweep.knobs[knob]}
        return dict(sorted({**worlds, start: BASE}.items()))

    @cached_property
    def ranks(self) -> dict[Metric, pd.DataFrame]:
        """The ranks of the methods that all worlds have, (methods, worlds), 1 the best mean cost.

        Equal costs share the mean of their ranks.
        """
        return {
            metric: pd.DataFrame(
                {w: {m: self._cost(w, m, metric) for m in self.everywhere} for w in self.tables}
            ).rank()
            for metric in self.headline
        }

    def _cost(self, world: str, method: str, metric: Metric) -> float:
        cell = self.cell(world, method, metric)
        return float("nan") if cell is None else float(metric.measure.cost(cell.seeds).mean())

    def overall(self, metric: Metric) -> dict[str, Array]:
        """Return the cost of each seed, averaged over all worlds, by method, from the best."""
        costs = {
            method: np.mean(
                [
                    metric.measure.cost(cell.seeds)
                    for world in self.tables
                    if (cell := self.cell(world, method, metric))
                ],
                axis=0,
            )
            for method in self.everywhere
        }
        return dict(sorted(costs.items(), key=lambda item: float(item[1].mean())))

    def frame(self) -> pd.DataFrame:
        """Return everything as rows: a world, a method, a metric."""
        rows = [
            self._record(world, row, metric, cell)
            for world, table in self.tables.items()
            for row in table.rows
            for metric, cell in row.cells.items()
            if cell
        ]
        return pd.DataFrame(rows)

    def _record(self, world: str, row: Row, metric: Metric, cell: Cell) -> dict[str, Any]:
        knob, level = next(iter(self.sweep.worlds()[world].items()), ("", None))
        method, origin = row.task.method, row.task.provenance
        ranks = self.ranks.get(metric)
        cost = interval(metric.measure.cost(cell.seeds), self.confidence)
        return {
            "world": world,
            "knob": knob,
            "level": level,
            "method": method,
            "title": row.task.title,
            "metric": metric.name,
            "mean": cell.interval.mean,
            "half_width": cell.interval.half_width,
            "mean_cost": cost.mean,
            "cost_half_width": cost.half_width,
            "not_told_from_best": cell.best,
            "rank": ranks[world].get(method) if ranks is not None else None,
            "seeds": " ".join(f"{value:.6g}" for value in cell.seeds),
            "key": origin.key if origin else "",
        }


def quantity(metric: Metric) -> str:
    """Return what a metric ranks by, such as "absolute CVR bias"."""
    return f"absolute {metric.label}" if metric.measure.arrow == "→0" else metric.label


def alike(costs: Mapping[str, Array], confidence: float) -> list[str]:
    """Return the first of some methods and those that a paired t-test does not tell from it."""
    best = next(iter(costs.values()))
    return [name for name, cost in costs.items() if indistinguishable(cost, best, confidence)]
