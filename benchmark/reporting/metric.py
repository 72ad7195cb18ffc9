"""What a metric's name says, and which of its values are better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.measures import MEASURES, Measure

Array = NDArray[np.float64]

TASKS = {"cvr": "CVR", "ctr": "CTR", "ctcvr": "CTCVR"}
POPULATIONS = {
    "oracle": "all impressions (oracle)",
    "random": "impressions shown at random",
    "clicked": "clicked impressions",
    "impressions": "all logged impressions",
}


MARGINS = {"auc": 0.002, "gauc": 0.002}  # differences below are equivalent in practice


@dataclass(frozen=True)
class Metric:
    """A metric by its name, ``<task>_<measure>_<population>``."""

    name: str
    task: str
    measure: Measure
    population: str

    @classmethod
    def parse(cls, name: str) -> Metric:
        """Read a name.

        Raises:
            LookupError: a part of it is unknown.
        """
        if cls.is_known(name):
            task, measure, population = name.split("_")
            return cls(name, TASKS[task], MEASURES[measure], POPULATIONS[population])
        raise LookupError(
            f"params.yaml: leaderboard names an unknown metric {name!r}; it must be "
            f"<{'|'.join(TASKS)}>_<{'|'.join(MEASURES)}>_<{'|'.join(POPULATIONS)}>"
        )

    @staticmethod
    def is_known(name: str) -> bool:
        """Return whether a name is that of a metric; records of old code may hold others."""
        task, measure, rows = parts if len(parts := name.split("_")) == 3 else ("", "", "")
        return task in TASKS and measure in MEASURES and rows in POPULATIONS

    @property
    def key(self) -> str:
        """Task and population as in names: ``<task>_<population>``."""
        task, _, population = self.name.split("_")
        return f"{task}_{population}"

    @property
    def margin(self) -> float | None:
        """The difference below which two values are equivalent; None where none is agreed on."""
        return MARGINS.get(self.measure.name)

    @property
    def label(self) -> str:
        """Task and measure, such as "CVR AUC"."""
        return f"{self.task} {self.measure.title}"

    @property
    def space(self) -> str:
        """Task and population, such as "CVR, clicked impressions"."""
        return f"{self.task}, {self.population}"
