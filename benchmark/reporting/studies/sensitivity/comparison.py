"""A sensitivity study as one table: every method in every setting, with intervals and ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from benchmark.reporting import records
from benchmark.reporting.contrasts import Cell
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.statistics import interval, mean_ranks, not_worse_than_best
from benchmark.reporting.table import Row, Table, build
from benchmark.studies import BASE, Sensitivity, Workspace, setting_name

ALL = "all settings"


def read(workspace: Workspace) -> Comparison:
    """Compare the methods of a study in every setting.

    Raises:
        FileNotFoundError: nothing is on record.
        ValueError: a factor has no number in the base setting, or a record cannot be read.
    """
    params = workspace.params
    settings = records.read(workspace)
    tables = {results.dataset: build(results, params) for results in settings}
    if not any(table.headline for table in tables.values()):
        reasons = (task.excluded for results in settings for task in results.tasks)
        reason = next((words for words in reasons if words), "no headline metric of params.yaml")
        raise FileNotFoundError(
            f"{workspace.runs} holds no run that can be reported ({reason}); `dvc repro "
            "studies/dvc.yaml`, or `python -m benchmark run --study NAME`, makes them"
        )
    study = workspace.section("sensitivity")
    board = params.leaderboard
    return Comparison(tables, study, board.confidence, board.reference)


@dataclass(frozen=True)
class Comparison:
    """The tables of all settings, by name."""

    tables: Mapping[str, Table]
    study: Sensitivity
    confidence: float
    reference: str | None = None

    @property
    def base(self) -> Table:
        """The table of the setting that all factors start from."""
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
        """The methods with all headline metrics in every setting: they alone can be ranked."""
        return [
            method
            for method in self.titles
            if all(self.cell(setting, method, m) for setting in self.tables for m in self.headline)
        ]

    @cached_property
    def _rows(self) -> dict[tuple[str, str], Row]:
        return {(w, row.task.method): row for w, table in self.tables.items() for row in table.rows}

    def cell(self, setting: str, method: str, metric: Metric) -> Cell | None:
        """Return what a method has in a setting; None if it has no such metric there."""
        row = self._rows.get((setting, method))
        return row.cells.get(metric) if row else None

    def label(self, setting: str) -> tuple[str, str]:
        """Return the factor and the level of a setting in words; the base has its name alone."""
        for factor, level in self.study.settings()[setting].items():
            return factor.replace("_", " "), f"{level:g}"
        return setting, ""

    def name(self, setting: str) -> str:
        """Return factor and level of a setting as one text."""
        return " ".join(filter(None, self.label(setting)))

    def levels(self, factor: str) -> dict[float, str]:
        """Return the settings of a factor by level, the base among them, in the order of levels.

        Raises:
            ValueError: the factor has no number in the base setting.
        """
        schema = self.base.results.schema
        start = schema.options[factor] if schema else None
        if not isinstance(start, int | float):
            raise ValueError(
                f"factor {factor} is {start!r} in the base setting, which has no place among its "
                "levels; give it a number under `options` in the study's params.yaml"
            )
        settings = {level: setting_name(factor, level) for level in self.study.factors[factor]}
        return dict(sorted({**settings, start: BASE}.items()))

    @cached_property
    def ranks(self) -> dict[Metric, pd.DataFrame]:
        """The ranks of the methods that all settings have, (methods, settings); 1 is the best.

        They are by the mean over replicates of the rank within each. Equal ones share their ranks.
        """
        return {
            metric: pd.DataFrame(
                {setting: self._mean_ranks(setting, metric) for setting in self.tables}
            ).rank()
            for metric in self.headline
        }

    def _mean_ranks(self, setting: str, metric: Metric) -> dict[str, float]:
        cells = {method: self.cell(setting, method, metric) for method in self.everywhere}
        costs = [metric.measure.cost(cell.values) for cell in cells.values() if cell]
        return dict(zip(cells, mean_ranks(np.array(costs)), strict=True)) if costs else {}

    def overall(self, metric: Metric) -> dict[str, Array]:
        """Return the cost in each setting, averaged over replicates, by method, from the best.

        Settings share no draw, so that no replicate of one belongs to a replicate of another.
        """
        costs = {
            method: np.array(
                [
                    metric.measure.cost(cell.values).mean()
                    for setting in self.tables
                    if (cell := self.cell(setting, method, metric))
                ]
            )
            for method in self.everywhere
        }
        return dict(sorted(costs.items(), key=lambda item: float(item[1].mean())))

    def frame(self) -> pd.DataFrame:
        """Return everything as rows: a setting, a method, a metric."""
        rows = [
            self._record(setting, row, metric, cell)
            for setting, table in self.tables.items()
            for row in table.rows
            for metric, cell in row.cells.items()
            if cell
        ]
        return pd.DataFrame(rows)

    def _record(self, setting: str, row: Row, metric: Metric, cell: Cell) -> dict[str, Any]:
        factor, level = next(iter(self.study.settings()[setting].items()), ("", None))
        method, origin = row.task.method, row.task.provenance
        ranks = self.ranks.get(metric)
        cost = interval(metric.measure.cost(cell.values), self.confidence)
        return {
            "setting": setting,
            "factor": factor,
            "level": level,
            "method": method,
            "title": row.task.title,
            "metric": metric.name,
            "mean": cell.interval.mean,
            "half_width": cell.interval.half_width,
            "mean_cost": cost.mean,
            "cost_half_width": cost.half_width,
            "not_different_from_best": cell.best,
            "rank": ranks[setting].get(method) if ranks is not None else None,
            "replicates": " ".join(f"{value:.6g}" for value in cell.values),
            "key": origin.key if origin else "",
        }


def quantity(metric: Metric) -> str:
    """Return what a metric ranks by, such as "absolute CVR bias"."""
    return f"absolute {metric.label}" if metric.measure.arrow == "→0" else metric.label


def alike(costs: Mapping[str, Array], confidence: float) -> list[str]:
    """Return the methods that are not significantly different from the best, that one first."""
    marked = not_worse_than_best(np.array(list(costs.values())), confidence)
    return [name for name, same in zip(costs, marked, strict=True) if same]
