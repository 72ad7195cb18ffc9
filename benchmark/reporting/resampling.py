"""A test split whose clusters are drawn with replacement, and the metrics of fits on each draw.

A cluster is a group of rows that metrics rank together: a user, or a list where users are unknown;
where there are no groups, it is a row. The draws are the same for all fits, which pairs them.
Metrics follow the weights of clusters to first order, so that a fit is evaluated once.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from benchmark.execution import predictions
from benchmark.metrics.measures import BY_SPACE
from benchmark.metrics.ordering import NO_GROUP, Array, Integers
from benchmark.metrics.populations import Labels, Scores, population
from benchmark.reporting.influence import influence
from benchmark.reporting.metric import Metric
from benchmark.schema import Schema

DRAWS = 2000
Recorded = Mapping[str, float]  # the metrics of a fit on the test split, by name
MOST = 2000  # clusters; more are drawn together, which leaves the expected variance as it is


@dataclass(frozen=True)
class Resampling:
    """A test split in draws: ``cluster`` (rows,) numbers the clusters from 0.

    ``weights`` (clusters, draws) is how often each is drawn, less 1, ``unit`` what one is and
    ``units`` how many there are, of which several may be drawn together.
    """

    labels: Labels
    cluster: Integers
    weights: NDArray[np.floating]
    unit: str
    units: int
    _known: dict[Path, Mapping[str, Array]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, labels: Labels, seed: str) -> Resampling:
        """Draw the clusters of a split; the seed is any text, such as the name of the dataset."""
        rng = np.random.default_rng(crc32(seed.encode()))
        cluster, units = _clusters(labels.group, len(labels.conversion))
        if units > MOST:
            cluster = (rng.permutation(units) % MOST)[cluster]
        count = min(units, MOST)
        weights = rng.multinomial(count, np.full(count, 1 / count), DRAWS).T - 1.0
        unit = "rows" if labels.group is None else "users (or lists)"
        return cls(labels, cluster, weights, unit, units)

    @classmethod
    def read(cls, folder: Path, schema: Schema) -> Resampling:
        """Draw the clusters of the test split in a folder."""
        from benchmark.training.trainer import read_labels  # noqa: PLC0415 (a second)

        return cls.of(read_labels(folder, "test", schema), schema.dataset)

    def values(self, fits: Mapping[Path, Recorded], metric: Metric) -> Array | None:
        """Return a metric of fits, by their predictions, on each draw, (fits, draws).

        None where it is not known how the metric depends on the weights.
        """
        if influence(metric.measure.name) is None:
            return None
        return np.array([self._drawn(path, fit)[metric.name] for path, fit in fits.items()])

    def clusters(self, metric: Metric) -> int:
        """Return how many clusters have a positive label of the metric's population."""
        nothing = np.full(len(self.cluster), 0.5)
        rows = population(metric.key, self._rowwise, Scores(nothing, nothing))
        return len(np.unique(self.cluster[rows.group][rows.label == 1]))

    @cached_property
    def _rowwise(self) -> Labels:
        """The labels with every row a group, whose number is the row's."""
        return replace(self.labels, group=np.arange(len(self.cluster)))

    def _drawn(self, path: Path, recorded: Recorded) -> Mapping[str, Array]:
        if path not in self._known:
            influences = self.influences(predictions.read(path, len(self.cluster)), recorded)
            drawn = np.array(list(influences.values())) @ self.weights
            own = zip(influences, drawn, strict=True)
            self._known[path] = {name: recorded[name] + change for name, change in own}
        return self._known[path]

    def influences(self, scores: Scores, names: Container[str]) -> dict[str, Array]:
        """Return the influence of each cluster, (clusters,), on each of the metrics that has one.

        Raises:
            UndefinedError: a metric has no value.
        """
        influences = dict[str, Array]()
        for space, measures in BY_SPACE.items():
            known = {space.replace("_", f"_{m.name}_"): influence(m.name) for m in measures}
            functions = {name: of for name, of in known.items() if of and name in names}
            if functions:
                rows = population(space, self.labels, scores)
                row = population(space, self._rowwise, scores).group
                influences |= {
                    name: of(rows, self.cluster[row], len(self.weights))
                    for name, of in functions.items()
                }
        return influences


def _clusters(group: Integers | None, rows: int) -> tuple[Integers, int]:
    """Return the cluster of each row, (rows,), and how many there are."""
    alone = np.arange(rows)
    if group is not None:
        # Rows of no group are clusters of their own, below the numbers of groups.
        alone = np.where(group == NO_GROUP, -1 - alone, group)
    names, cluster = np.unique(alone, return_inverse=True)
    return cluster, len(names)
