"""Top-K metrics of each group's list, as the doubly robust literature reports them.

Tied rows share their positions: each counts as its expectation over all orders of the tie, so no
result depends on the order of rows. Means are over the groups that have a positive, equally
weighted.

Differs from the papers' code, which leaves ties to the sort.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.ordering import (
    Array,
    Integers,
    Order,
    in_groups,
    keys,
    numbered,
    starts,
    sums,
)
from benchmark.metrics.undefined import UndefinedError


@dataclass(frozen=True)
class Lists:
    """The rows of groups that have a positive, by descending score.

    ``gain`` (n,) is the expected label at a position. ``position`` (n,) counts from 0 in each
    group, ``group`` (n,) counts from 0, ``positives`` (groups,) are the labels of 1 of each.
    """

    gain: Array
    position: Integers
    group: Integers
    positives: Integers

    @classmethod
    def ranked(cls, label: Array, score: Array, group: Integers | None) -> Lists:
        """Rank the rows of each group, those of ``NO_GROUP`` left out.

        Raises:
            UndefinedError: there are no groups, or none has a positive.
            ValueError: a label is not 0 or 1, or a score is not a number.
        """
        label, score, group = in_groups(label, score, group)
        dense = numbered(group)
        positives = np.bincount(dense[_is_positive(label)], minlength=dense.max() + 1)
        kept = positives[dense] > 0
        if not kept.any():
            raise UndefinedError("no group has a positive label")
        order = Order.of(keys(dense[kept], score[kept], descending=True))
        first = starts(dense[kept][order.rows])
        position = np.arange(len(first)) - np.flatnonzero(first)[np.cumsum(first) - 1]
        gain = order.means(label[kept])
        return cls(gain, position, np.cumsum(first) - 1, positives[positives > 0])


def _is_positive(label: Array) -> NDArray[np.bool_]:
    positive = label == 1
    if not (positive | (label == 0)).all():
        value = label[~positive & (label != 0)][0]
        raise ValueError(f"a label is {value}; lists need labels of 0 and 1")
    return positive


def dcg(lists: Lists, k: int) -> float:
    r"""Return the mean discounted cumulative gain of the first ``k`` positions.

    .. math:: \mathrm{DCG}_g = \sum_{j=1}^k \frac{y_{g,j}}{\log_2(j + 1)}

    with the label :math:`y_{g,j}` at position j of group g, averaged over groups with a positive.
    """
    return float(_sums(lists, k, discounted=True).mean())


def ndcg(lists: Lists, k: int) -> float:
    r"""Return the mean ratio of the discounted cumulative gain to the best one possible.

    .. math:: \mathrm{NDCG}_g = \frac{\mathrm{DCG}_g}{\max \mathrm{DCG}_g}

    The maximum is over all orders of the group, and the mean over the groups with a positive.
    """
    best = np.cumsum(_discount(np.arange(k)))
    reachable = best[np.minimum(lists.positives, k) - 1]
    return float((_sums(lists, k, discounted=True) / reachable).mean())


def hits(lists: Lists, k: int) -> float:
    r"""Return the mean number of positives in the first ``k`` positions.

    .. math:: \sum_{j=1}^k y_{g,j}

    averaged over the groups g with a positive.

    The doubly robust literature calls this count Recall@K; it may exceed 1.
    """
    return float(_sums(lists, k, discounted=False).mean())


def recall(lists: Lists, k: int) -> float:
    r"""Return the mean share of a group's positives that are in its first ``k`` positions.

    .. math:: \frac{\sum_{j=1}^k y_{g,j}}{\sum_j y_{g,j}}

    averaged over the groups g with a positive.
    """
    return float((_sums(lists, k, discounted=False) / lists.positives).mean())


def _sums(lists: Lists, k: int, *, discounted: bool) -> Array:
    """Return the gain of each group's first ``k`` positions, (groups,)."""
    top = lists.position < k
    gain = lists.gain[top] * (_discount(lists.position[top]) if discounted else 1)
    return sums(lists.group[top], gain, len(lists.positives))


def _discount(position: Integers) -> Array:
    return 1 / np.log2(position + 2)
