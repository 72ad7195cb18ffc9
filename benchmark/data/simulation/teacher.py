"""Teachers: models fitted on a real log, each asked about the rows that it did not see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmark.data.dataset import DataError
from benchmark.data.simulation.generator import Array

FOLDS = 5
FEWEST = 20  # rows of either label, below which there is nothing to learn from
KEPT = 250  # ids of a field that are told apart; the trees allow no more than 255
ROUNDS, EPOCHS, LAYERS = 60, 4, (64, 32)  # more of them and the probabilities get extreme
LIMIT = 12.0  # of log odds, where the network is sure

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Inputs:
    """What a teacher sees of each row: ids up to ``KEPT``, 0 for rare ones, and numbers."""

    ids: Array
    numbers: Array

    @classmethod
    def of(cls, rows: pl.DataFrame, categorical: Sequence[str], numeric: Sequence[str]) -> Inputs:
        """Return the inputs of rows of raw features; a missing number is the mean."""
        empty = np.empty((rows.height, 0))
        ids = [_ids(rows[field].cast(pl.String)) for field in categorical]
        numbers = [_scaled(rows[field].cast(pl.Float64)) for field in numeric]
        return cls(np.column_stack([empty, *ids]), np.column_stack([empty, *numbers]))


class Teacher(ABC):
    """A kind of model, ready to be fitted on some rows of the inputs and asked about others."""

    def __init__(self, inputs: Inputs, seed: int) -> None:
        self.inputs, self.seed = inputs, seed

    @abstractmethod
    def log_odds(self, seen: Index, label: Array, unseen: Index) -> Array:
        """Fit on the seen rows, of the given labels, and return the log odds of the unseen ones."""


class Trees(Teacher):
    """Gradient-boosted trees of a size fixed beforehand."""

    def log_odds(self, seen: Index, label: Array, unseen: Index) -> Array:
        """See :meth:`Teacher.log_odds`."""
        rows = np.hstack([self.inputs.ids, self.inputs.numbers])
        model = HistGradientBoostingClassifier(
            max_iter=ROUNDS,
            categorical_features=list(range(self.inputs.ids.shape[1])),
            early_stopping=False,
            random_state=self.seed,
        )
        log_odds: Array = model.fit(rows[seen], label).decision_function(rows[unseen])
        return log_odds


class Deep(Teacher):
    """A network; on one-hot ids, its first layer is a sum of embeddings."""

    def __init__(self, inputs: Inputs, seed: int) -> None:
        super().__init__(inputs, seed)
        row = np.arange(len(inputs.ids))
        ones = [csr_array((np.ones(len(row)), (row, ids))) for ids in inputs.ids.T.astype(int)]
        self.rows = hstack([*ones, csr_array(inputs.numbers)]).tocsr()

    def log_odds(self, seen: Index, label: Array, unseen: Index) -> Array:
        """See :meth:`Teacher.log_odds`."""
        network = MLPClassifier(LAYERS, batch_size=256, random_state=self.seed)
        for _ in range(EPOCHS):
            network.partial_fit(self.rows[seen], label, classes=[0, 1])
        without, with_ = network.predict_log_proba(self.rows[unseen]).T
        return np.clip(with_ - without, -LIMIT, LIMIT)


TEACHERS: dict[str, type[Teacher]] = {"trees": Trees, "deep": Deep}


def cross_fitted(teacher: Teacher, label: Array) -> Array:
    """Return the log odds of a label for every row, each from a model that did not see the row.

    The label is NaN where the log does not know it; such rows are asked about, not seen.

    Raises:
        DataError: too few rows of one label.
    """
    known = ~np.isnan(label)
    for value in (0, 1):
        if (count := int((label == value).sum())) < FEWEST:
            raise DataError(f"{count} rows of label {value} are too few to fit on: {FEWEST} needed")
    fold = np.random.default_rng(teacher.seed).permutation(len(label)) % FOLDS
    log_odds = np.empty(len(label))
    with threadpool_limits(1):  # the same truth on any number of cores
        for number in range(FOLDS):
            seen, unseen = np.flatnonzero(known & (fold != number)), np.flatnonzero(fold == number)
            log_odds[unseen] = teacher.log_odds(seen, label[seen], unseen)
    return log_odds


def _ids(values: pl.Series) -> Array:
    """Number the most frequent values from 1, all others 0."""
    counts = values.rename("value").drop_nulls().value_counts(name="rows")
    kept = counts.sort("rows", "value", descending=[True, False])["value"].head(KEPT)
    numbers = pl.Series(range(1, len(kept) + 1), dtype=pl.Float64)
    ids = values.replace_strict(kept, numbers, default=0.0, return_dtype=pl.Float64)
    return ids.fill_null(0.0).to_numpy()


def _scaled(values: pl.Series) -> Array:
    numbers = values.fill_nan(None)
    spread = numbers.std() or 1.0
    return ((numbers - numbers.mean()) / spread).fill_null(0.0).to_numpy()
