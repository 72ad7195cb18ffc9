"""What a metric's name says, which values are better, how sure its mean is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from benchmark.metrics.measures import MEASURES, Measure

Array = NDArray[np.float64]


TASKS = {"cvr": "CVR", "ctr": "CTR", "ctcvr": "CTCVR"}
POPULATIONS = {
    "oracle": "all impressions (oracle)",
    "random": "impressions shown at random",
    "clicked": "clicked impressions",
    "impressions": "all logged impressions",
}


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
        task, measure, population = [*name.split("_"), "", ""][:3]
        known = task in TASKS and measure in MEASURES and population in POPULATIONS
        if known and name.count("_") == 2:
            return cls(name, TASKS[task], MEASURES[measure], POPULATIONS[population])
        raise LookupError(
            f"params.yaml: leaderboard names an unknown metric {name!r}; it must be "
            f"<{'|'.join(TASKS)}>_<{'|'.join(MEASURES)}>_<{'|'.join(POPULATIONS)}>"
        )

    @property
    def label(self) -> str:
        """Task and measure, such as "CVR AUC"."""
        return f"{self.task} {self.measure.title}"

    @property
    def space(self) -> str:
        """Task and population, such as "CVR, clicked impressions"."""
        return f"{self.task}, {self.population}"


@dataclass(frozen=True)
class Interval:
    """A mean over seeds; ``half_width`` is None where one seed tells nothing about the spread."""

    mean: float
    half_width: float | None


def interval(values: Array, confidence: float) -> Interval:
    """Return the Student-t interval of the mean."""
    mean, count = float(values.mean()), len(values)
    if count == 1:
        return Interval(mean, None)
    error = float(values.std(ddof=1)) / count**0.5
    return Interval(mean, float(t.ppf((1 + confidence) / 2, count - 1)) * error)


def indistinguishable(costs: Array, best: Array, confidence: float) -> bool:
    """Return whether a two-sided paired t-test over the same seeds finds no difference."""
    difference = interval(costs - best, confidence)
    return abs(difference.mean) <= (difference.half_width or 0.0)
