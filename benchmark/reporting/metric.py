"""What a metric's name says, which values are better, how sure its mean is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from benchmark.metrics.directions import DIRECTIONS, Direction

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A measure by the name that readers know, and how its values are written."""

    title: str
    direction: Direction
    style: str = ".4f"

    @property
    def arrow(self) -> str:
        """What shows which values are better."""
        return self.direction.arrow

    def cost(self, values: Array) -> Array:
        """Return what is lower for better values."""
        return self.direction.cost(values)


TASKS = {"cvr": "CVR", "ctr": "CTR", "ctcvr": "CTCVR"}
TITLES = {
    "auc": "AUC",
    "gauc": "GAUC",
    "logloss": "log loss",
    "snipslogloss": "SNIPS log loss",
    "drlogloss": "doubly robust log loss",
    "ece": "ECE",
    "bias": "bias",
    "pcoc": "PCOC",
    "prauc": "average precision",
    "ks": "KS",
    "snipsauc": "SNIPS AUC (true propensities)",
    "mse": "squared error",
    "ctrbias": "largest bias by CTR",
    "pip": "dependence on CTR (PIP)",
    **{f"dcg{k}": f"DCG@{k}" for k in (2, 4, 6)},
    **{f"hits{k}": f"hits@{k}" for k in (2, 4, 6)},
    **{f"recall{k}": f"recall@{k}" for k in (2, 4, 6)},
    **{f"ndcg{k}": f"NDCG@{k}" for k in (5, 10)},
}
STYLES = {"bias": "+.4f", "pcoc": ".3f", "mse": ".5f", "pip": "+.4f"}
MEASURES = {
    name: Measure(title, DIRECTIONS[name], STYLES.get(name, ".4f"))
    for name, title in TITLES.items()
}
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
