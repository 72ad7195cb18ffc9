"""The rows that metrics are about, with their labels and predictions.

``clicked`` (logged clicks: the selection-biased rows), ``impressions`` (all logged impressions),
``random`` (rows shown at random), ``oracle`` (all impressions, clicked or not, with the conversion
each would have had).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.calibration import tenths
from benchmark.metrics.discrimination import Classes
from benchmark.metrics.ordering import Order
from benchmark.metrics.ranking import Lists
from benchmark.metrics.undefined import UndefinedError

Array = NDArray[np.float64]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Labels:
    """The truth about one split: arrays (N,), NaN where unknown, None where the dataset lacks it.

    ``group`` is ``NO_GROUP`` in rows that belong to none.
    The two estimates are of P(click) and P(conversion | click), fitted on the train split.
    """

    conversion: Array
    click: Array | None
    random: NDArray[np.bool_]
    group: NDArray[np.int64] | None
    oracle_conversion: Array | None = None
    oracle_cvr: Array | None = None
    oracle_ctr: Array | None = None
    estimated_ctr: Array | None = None
    estimated_cvr: Array | None = None


@dataclass(frozen=True)
class Scores:
    """Predicted probabilities of one split: float arrays (N,); ``ctr`` None if not predicted."""

    cvr: Array
    ctr: Array | None


@dataclass(frozen=True)
class Population:
    """The rows of one task's metrics: arrays (n,), None where dataset or method lacks it."""

    label: Array
    score: Array
    group: NDArray[np.int64] | None
    truth: Array | None  # true probability of the label
    ctr: Array | None  # predicted
    propensity: Array | None  # true probability of a click
    estimated_ctr: Array | None
    estimated_cvr: Array | None

    @property
    def soft(self) -> Array:
        """The expected label: its true probability where that is known, else the label itself."""
        return self.label if self.truth is None else self.truth

    @property
    def counts(self) -> dict[str, float]:
        """The number of rows and of positives, expected ones where only these are known."""
        return {"rows": len(self.score), "positives": float(np.nansum(self.soft))}

    @cached_property
    def order(self) -> Order:
        """The rows by score."""
        return Order.of(self.score)

    @cached_property
    def classes(self) -> Classes:
        """Both classes at each score."""
        return Classes.at(self.soft, self.order)

    @cached_property
    def reliability(self) -> list[tuple[float, ...]]:
        """Tenths of the rows by score: (rows, mean score, mean label)."""
        return tenths(self.order, self.soft)

    @cached_property
    def lists(self) -> Lists:
        """The groups that have a positive, ranked by score."""
        return Lists.ranked(self.label, self.score, self.group)


def population(name: str, labels: Labels, scores: Scores) -> Population:
    """Return one of :data:`POPULATIONS`.

    Raises:
        UndefinedError: the dataset or the method lacks what it takes, or it has no rows.
    """
    rows, label, score, truth = POPULATIONS[name](labels, scores)
    if not rows.any():
        raise UndefinedError("no row of this population has a known label")
    selected = slice(None) if rows.all() else rows
    return Population(
        label[selected],
        score[selected],
        group=_where(selected, labels.group),
        truth=_where(selected, truth),
        ctr=_where(selected, scores.ctr),
        propensity=_where(selected, labels.oracle_ctr),
        estimated_ctr=_where(selected, labels.estimated_ctr),
        estimated_cvr=_where(selected, labels.estimated_cvr),
    )


def _where(rows: NDArray[np.bool_] | slice, column: NDArray[T] | None) -> NDArray[T] | None:
    return None if column is None else column[rows]


# Rows, label, score, true probability of the label.
Selection = tuple[NDArray[np.bool_], Array, Array, Array | None]


def _clicked(labels: Labels, scores: Scores) -> Selection:
    """Logged clicks, with their conversions and the predicted CVR. These rows are selected."""
    known = ~labels.random & ~np.isnan(labels.conversion)
    rows = known if labels.click is None else known & (labels.click == 1)
    return rows, labels.conversion, scores.cvr, None


def _random(labels: Labels, scores: Scores) -> Selection:
    """Impressions shown at random, with their conversions and the predicted CVR."""
    if not labels.random.any():
        raise UndefinedError("no impression was shown at random")
    return labels.random & ~np.isnan(labels.conversion), labels.conversion, scores.cvr, None


def _oracle(labels: Labels, scores: Scores) -> Selection:
    """All impressions, with the conversion each would have had if clicked, and the CVR."""
    if labels.oracle_conversion is None:
        raise UndefinedError("what impressions without a click would have led to is unknown")
    everywhere = np.ones(len(scores.cvr), dtype=bool)
    return everywhere, labels.oracle_conversion, scores.cvr, labels.oracle_cvr


def _cvr_impressions(labels: Labels, scores: Scores) -> Selection:
    """All logged impressions, with conversions known on clicks, and the CVR."""
    seen, click = _seen(labels)
    return seen, np.where(click == 1, labels.conversion, np.nan), scores.cvr, None


def _ctr_impressions(labels: Labels, scores: Scores) -> Selection:
    """All logged impressions, with their clicks and the predicted CTR."""
    seen, click = _seen(labels)
    return seen, click, _ctr(scores), None


def _ctcvr_impressions(labels: Labels, scores: Scores) -> Selection:
    """All logged impressions, with click and conversion both, and CTR × CVR."""
    seen, click = _seen(labels)
    both = np.where(click == 0, 0.0, labels.conversion)
    return seen & ~np.isnan(both), both, _ctr(scores) * scores.cvr, None


def _seen(labels: Labels) -> tuple[NDArray[np.bool_], Array]:
    """Return which rows are logged impressions of known click, and the clicks."""
    if labels.click is None:
        raise UndefinedError("the log has no impressions without a click")
    return ~labels.random & ~np.isnan(labels.click), labels.click


def _ctr(scores: Scores) -> Array:
    if scores.ctr is None:
        raise UndefinedError("the method predicts no CTR")
    return scores.ctr


POPULATIONS: dict[str, Callable[[Labels, Scores], Selection]] = {
    "cvr_clicked": _clicked,
    "cvr_random": _random,
    "cvr_oracle": _oracle,
    "cvr_impressions": _cvr_impressions,
    "ctr_impressions": _ctr_impressions,
    "ctcvr_impressions": _ctcvr_impressions,
}
