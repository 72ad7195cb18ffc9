"""How well scores tell the classes apart: exact under ties, equal to scikit-learn to 1e-12.

Each class is sorted by itself, then every positive is looked up among the negatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.ordering import BITS, Array, Integers, keys, numbered, sums
from benchmark.metrics.undefined import UndefinedError


def auc(label: Array, score: Array) -> float:
    """Return the area under the ROC curve, ties counted half.

    Raises:
        UndefinedError: only one class is present.
        ValueError: a label is not 0 or 1, or a score is not a number.
    """
    negatives, positives = _classes(label, score)
    below, through = _places(negatives, positives)
    return int(below.sum() + through.sum()) / (2 * len(negatives) * len(positives))


def snips_auc(label: Array, score: Array, propensity: Array | None) -> float:
    """Return the AUC with each pair weighted by both inverse propensities, self-normalised.

    Over clicks it estimates the AUC over all impressions, provided that the propensities are the
    true ones and account for all that click and conversion share.

    Raises:
        UndefinedError: only one class is present, or there are no positive propensities.
        ValueError: a label is not 0 or 1, or a score is not a number.
    """
    if propensity is None:
        raise UndefinedError("the true propensities of clicks are unknown")
    if not (propensity > 0).all():
        raise UndefinedError("a clicked row has no positive propensity")
    negative, positive = _sides(label)
    low, low_weight = _weighted(score[negative], 1 / propensity[negative])
    high, high_weight = _weighted(score[positive], 1 / propensity[positive])
    mass = np.concatenate([[0.0], np.cumsum(low_weight)])
    below, through = _places(low, high)
    wins = high_weight @ (mass[below] + mass[through]) / 2
    return float(wins / (mass[-1] * high_weight.sum()))


def gauc(label: Array, score: Array, group: Integers | None) -> float:
    """Return the AUC within groups, weighted by rows, over groups that have both classes.

    Raises:
        UndefinedError: there are no groups, or none has both classes.
        ValueError: a label is not 0 or 1, or a score is not a number.
    """
    if group is None:
        raise UndefinedError("the log has no groups")
    _, positive = _sides(label)
    group = numbered(group)
    rows, hits = np.bincount(group), np.bincount(group[positive], minlength=group.max() + 1)
    both = (hits > 0) & (hits < rows)
    if not both.any():
        raise UndefinedError("no group has both classes")
    wins = _wins(keys(group, score), positive, rows - hits)[both]
    pairs = hits[both] * (rows - hits)[both]
    return float(np.average(wins / pairs, weights=rows[both]))


def _wins(key: Integers, positive: NDArray[np.bool_], negatives: Integers) -> Array:
    """Return the pairs that each group ranks right, (groups,), ties counted half."""
    sought = np.sort(key[positive])
    below, through = _places(np.sort(key[~positive]), sought)
    group, earlier = sought >> BITS, np.cumsum(negatives) - negatives
    return sums(group, (below + through) / 2 - earlier[group], len(negatives))


def ks(label: Array, score: Array) -> float:
    """Return the largest true-positive rate less false-positive rate of any threshold.

    Raises:
        UndefinedError: only one class is present.
        ValueError: a label is not 0 or 1, or a score is not a number.
    """
    negatives, positives = _classes(label, score)
    below, _ = _places(negatives, positives)
    missed = np.arange(len(positives)) / len(positives)
    return float((below / len(negatives) - missed).max())


def average_precision(label: Array, score: Array) -> float:
    """Return the area under the precision-recall steps, tied rows being retrieved together.

    Raises:
        UndefinedError: only one class is present.
        ValueError: a label is not 0 or 1, or a score is not a number.
    """
    negatives, positives = _classes(label, score)
    below, _ = _places(negatives, positives)
    earlier, _ = _places(positives, positives)
    false, true = len(negatives) - below, len(positives) - earlier
    return float((true / (true + false)).mean())


def is_positive(label: Array) -> NDArray[np.bool_]:
    """Return which labels are 1.

    Raises:
        ValueError: a label is not 0 or 1.
    """
    positive = label == 1
    if not (positive | (label == 0)).all():
        value = label[~positive & (label != 0)][0]
        raise ValueError(f"a label is {value}; ranking needs labels of 0 and 1")
    return positive


def _sides(label: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows are negatives, and which are positives; both exist."""
    positive = is_positive(label)
    if positive.all() or not positive.any():
        raise UndefinedError(f"all labels are {label[0]:.0f}")
    return ~positive, positive


def _classes(label: Array, score: Array) -> tuple[Array, Array]:
    """Return the ascending scores of negatives and of positives."""
    negative, positive = _sides(label)
    return np.sort(score[negative]), np.sort(score[positive])


def _weighted(score: Array, weight: Array) -> tuple[Array, Array]:
    """Return the scores, ascending, and the weights beside them."""
    order = np.argsort(score)
    return score[order], weight[order]


def _places(ordered: NDArray[Any], sought: NDArray[Any]) -> tuple[Integers, Integers]:
    """Return how many values are below each sought one, and how many are not above it.

    Both arrays are ascending, so that one that is not a number is last.
    """
    if np.isnan(ordered[-1]) or np.isnan(sought[-1]):
        raise ValueError("a score is not a number")
    return np.searchsorted(ordered, sought, "left"), np.searchsorted(ordered, sought, "right")
