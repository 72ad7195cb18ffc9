"""How far predicted probabilities are from labels, or from true probabilities."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.ordering import Array, Order
from benchmark.metrics.undefined import UndefinedError

BINS = 10


def log_loss(label: Array, score: Array) -> float:
    r"""Return the mean cross-entropy of the labels and the scores.

    .. math:: -\frac{1}{n} \sum_i \left( p_i \log s_i + (1 - p_i) \log(1 - s_i) \right)
    """
    return float(cross_entropy(label, score).mean())


def cross_entropy(label: Array, score: Array) -> Array:
    """Return that of every row; it is linear in the label, which may be any number."""
    low, high = np.log(np.maximum(score, 1e-38)), np.log1p(-np.minimum(score, 1 - 1e-16))
    return -(label * low + (1 - label) * high)


def brier(truth: Array | None, score: Array) -> float:
    r"""Return the mean squared distance of the scores to the true probabilities.

    .. math:: \frac{1}{n} \sum_i (s_i - p_i)^2

    The usual Brier score, against outcomes, is larger by their mean variance, which no prediction
    can lower.

    Raises:
        UndefinedError: they are unknown.
    """
    if truth is None:
        raise UndefinedError("the true probabilities are unknown")
    return float(np.square(score - truth).mean())


def bias(label: Array, score: Array) -> float:
    r"""Return the mean score minus the mean label.

    .. math:: \frac{1}{n} \sum_i s_i - \frac{1}{n} \sum_i p_i
    """
    return float(score.mean() - label.mean())


def pcoc(label: Array, score: Array) -> float:
    r"""Return predicted conversions over observed conversions; 1 is calibrated on average.

    .. math:: \sum_i s_i \Big/ \sum_i p_i

    Raises:
        UndefinedError: none is observed.
    """
    if not label.sum():
        raise UndefinedError("no label is positive")
    return float(score.sum() / label.sum())


def ece(reliability: list[tuple[float, ...]]) -> float:
    r"""Return the expected calibration error over ten bins of equally many rows, by score.

    With :math:`n_b` rows, the mean score :math:`\bar s_b` and the mean label :math:`\bar p_b` in
    bin b, it is

    .. math:: \sum_b \frac{n_b}{n} \, |\bar s_b - \bar p_b|

    Rows with equal scores count alike, wherever the edge of a bin falls. The argument is
    that of :func:`tenths` by score: (rows, mean score, mean label) of each bin.
    """
    total = sum(rows for rows, *_ in reliability)
    return sum(rows / total * abs(score - label) for rows, score, label in reliability)


def tenths(order: Order, *values: Array) -> list[tuple[float, ...]]:
    """Return (rows, mean key, mean of each value) of ten bins of equally many rows.

    The bins follow the order; rows tied in it count alike, wherever an edge falls.
    There are fewer bins if there are fewer rows.
    """
    columns = [order.key, *(order.means(value) for value in values)]
    parts = zip(*(np.array_split(column, BINS) for column in columns), strict=True)
    return [(len(part[0]), *(float(p.mean()) for p in part)) for part in parts if len(part[0])]
