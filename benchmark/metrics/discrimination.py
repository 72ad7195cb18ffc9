r"""How well scores tell the classes apart, for labels from 0 to 1; exact under ties.

A label :math:`p_i` is the probability of a positive: 0 or 1 where the outcome is known, anything
between where only the probability is. Each metric is the ratio of two expectations over outcomes
that are drawn from the labels independently. With labels of 0 and 1 it is the usual metric, equal
to scikit-learn's to 1e-12. With others, it has no sampling noise; it differs from the mean of the
usual metric over sampled outcomes by a relative error of the order of one over the expected number
of positives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.metrics.ordering import BITS, Array, Integers, Order, in_groups, keys, numbered, sums
from benchmark.metrics.undefined import UndefinedError


@dataclass(frozen=True)
class Classes:
    """The weight of both classes at each distinct score, ascending: arrays (scores,).

    ``same`` is the weight of pairs of a row with itself, which are none; ``rows`` is how many rows
    score at least as high.
    """

    positive: Array
    negative: Array
    same: Array
    rows: Integers

    @classmethod
    def at(cls, label: Array, order: Order, weight: Array | None = None) -> Classes:
        """Sum the rows of each score.

        Raises:
            UndefinedError: only one class is possible.
            ValueError: a label is not between 0 and 1.
        """
        label = _bounded(label)
        if len(label) == 1 or label.max() == 0 or label.min() == 1:
            raise UndefinedError(f"all labels are {label[0]:g}")
        positive, negative = label, 1 - label
        if weight is not None:
            positive, negative = positive * weight, negative * weight
        return cls(
            order.totals(positive),
            order.totals(negative),
            order.totals(positive * negative),
            len(label) - order.first,
        )


def auc(classes: Classes) -> float:
    r"""Return the area under the ROC curve; ties count half.

    .. math:: \frac{\sum_{i \ne j} p_i (1 - p_j) \, w_i w_j
              \left( 1[s_i > s_j] + \frac{1}{2} 1[s_i = s_j] \right)}
              {\sum_{i \ne j} p_i (1 - p_j) \, w_i w_j}

    The weights w are 1 unless others are given.
    """
    high, low, same = classes.positive, classes.negative, classes.same.sum()
    # Not a dot product: its last digits depend on how many threads the linear algebra has.
    wins = (high * (2 * np.cumsum(low) - low)).sum() - same
    return float(wins / (2 * (high.sum() * low.sum() - same)))


def snips_auc(label: Array, order: Order, propensity: Array | None) -> float:
    r"""Return the AUC with the weights :math:`w_i = 1 / o_i`, the inverse propensities of clicks.

    Over clicks it estimates the AUC over all impressions, provided that the propensities are the
    true ones and account for all that click and conversion share.

    Raises:
        UndefinedError: only one class is possible, or there are no positive propensities.
        ValueError: a label is not between 0 and 1.
    """
    if propensity is None:
        raise UndefinedError("the true propensities of clicks are unknown")
    if not (propensity > 0).all():
        raise UndefinedError("a clicked row has no positive propensity")
    return auc(Classes.at(label, order, 1 / propensity))


def gauc(label: Array, score: Array, group: Integers | None) -> float:
    r"""Return the mean AUC within groups, such as the impressions of one user.

    .. math:: \frac{\sum_g w_g \, \mathrm{AUC}_g}{\sum_g w_g}, \quad
              w_g = n_g \left( 1 - \prod_{i \in g} (1 - p_i) - \prod_{i \in g} p_i \right)

    The weight is the number of rows times the probability that both classes occur. With labels of
    0 and 1, the mean is therefore over the groups that have both classes. With others, the value
    approaches the mean over sampled outcomes if groups have many expected positives, or all labels
    are small. Rows of ``NO_GROUP`` are left out.

    Raises:
        UndefinedError: there are no groups, or none can have both classes.
        ValueError: a label is not between 0 and 1, or a score is not a number.
    """
    label, score, group = in_groups(label, score, group)
    label = _bounded(label)
    group = numbered(group)
    rows, itself = np.bincount(group), sums(group, label * (1 - label), int(group.max()) + 1)
    hits = sums(group, label, len(rows))
    pairs = hits * (rows - hits) - itself
    weight = rows * _both(label, group, len(rows))
    kept = (pairs > 0) & (weight > 0)
    if not kept.any():
        raise UndefinedError("no group has both classes")
    wins = _wins(label, Order.of(keys(group, score)), rows - hits) - itself / 2
    return float(np.average(wins[kept] / pairs[kept], weights=weight[kept]))


def _both(label: Array, group: Integers, groups: int) -> Array:
    """Return the probability that both classes occur in each group, (groups,)."""
    with np.errstate(divide="ignore"):
        none, every = (sums(group, np.log(p), groups) for p in (1 - label, label))
    return -np.expm1(none) - np.exp(every)


def _wins(label: Array, order: Order, negatives: Array) -> Array:
    """Return the pairs that each group ranks right, (groups,), ties counted half."""
    high, low = order.totals(label), order.totals(1 - label)
    group = order.key[order.first].astype(np.int64) >> BITS
    earlier = np.cumsum(negatives) - negatives
    return sums(group, high * (np.cumsum(low) - low / 2 - earlier[group]), len(negatives))


def ks(classes: Classes) -> float:
    r"""Return the Kolmogorov-Smirnov distance between the scores of both classes.

    .. math:: \max_t \left( \frac{\sum_i p_i \, 1[s_i \ge t]}{\sum_i p_i}
              - \frac{\sum_i (1 - p_i) \, 1[s_i \ge t]}{\sum_i (1 - p_i)} \right)

    It is the largest difference of true-positive and false-positive rate over all thresholds.
    """
    missed, rejected = np.cumsum(classes.positive), np.cumsum(classes.negative)
    return max(0.0, float((rejected / rejected[-1] - missed / missed[-1]).max()))


def average_precision(classes: Classes) -> float:
    r"""Return the mean precision at the positives, tied rows being retrieved together.

    With :math:`k_i` the number of rows that score at least :math:`s_i`, it is

    .. math:: \frac{1}{\sum_i p_i} \sum_i \frac{p_i}{k_i}
              \left( 1 + \sum_{j \ne i, \, s_j \ge s_i} p_j \right)
    """
    retrieved = np.cumsum(classes.positive[::-1])[::-1]
    hits = (classes.positive * retrieved + classes.same) / classes.rows
    return float(hits.sum() / classes.positive.sum())


def _bounded(label: Array) -> Array:
    bad = ~((label >= 0) & (label <= 1))
    if bad.any():
        raise ValueError(f"a label is {label[bad][0]}; ranking needs labels from 0 to 1")
    return label.astype(np.float64, copy=False)
