r"""How a metric changes with the weight of each cluster of test rows, to first order.

If cluster c, such as a user, is drawn :math:`w_c` times, the metric is about
:math:`m + \sum_c (w_c - 1) \, g_c`. All functions return the influences g, (clusters,), which
sum to 0, for a population whose row i is of the cluster ``cluster[i]``. Labels are 0 or 1.

That of the AUC is the one of DeLong, DeLong and Clarke-Pearson (Biometrics 44(3), 1988, 837-845),
summed over clusters as in Obuchowski, "Nonparametric Analysis of Clustered ROC Curve Data",
Biometrics 53(2), 1997, 567-578.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from benchmark.metrics.calibration import BINS, cross_entropy
from benchmark.metrics.ordering import (
    NO_GROUP,
    Array,
    Integers,
    Order,
    in_groups,
    keys,
    numbered,
    sums,
)
from benchmark.metrics.populations import Population
from benchmark.metrics.ranking import Lists

Influence = Callable[[Population, Integers, int], Array]


def influence(measure: str) -> Influence | None:
    """Return the function for a measure by its name; None where there is none."""
    name, k = re.fullmatch(r"([a-z]+)(\d*)", measure).groups()  # type: ignore[union-attr]
    if k and name in OF_LISTS:
        return lambda rows, cluster, count: _of_lists(OF_LISTS[name], int(k), rows, cluster, count)
    return OF_ROWS.get(measure)


def _mean(values: Array, cluster: Integers, clusters: int) -> Array:
    """Return the influences on the mean of the values of rows."""
    return sums(cluster, values - values.mean(), clusters) / len(values)


def _log_loss(rows: Population, cluster: Integers, clusters: int) -> Array:
    return _mean(cross_entropy(rows.label, rows.score), cluster, clusters)


def _bias(rows: Population, cluster: Integers, clusters: int) -> Array:
    return _mean(rows.score - rows.label, cluster, clusters)


def _pcoc(rows: Population, cluster: Integers, clusters: int) -> Array:
    total = rows.label.sum()
    return sums(cluster, rows.score - rows.score.sum() / total * rows.label, clusters) / total


def _ece(rows: Population, cluster: Integers, clusters: int) -> Array:
    """Take the edges of the bins as given."""
    order = rows.order
    gaps = np.array_split(order.key - order.means(rows.label), BINS)
    signs = np.repeat([np.sign(gap.sum()) for gap in gaps], [len(gap) for gap in gaps])
    signed = signs * (order.key - rows.label[order.rows])
    return _mean(signed, cluster[order.rows], clusters)


def _auc(rows: Population, cluster: Integers, clusters: int) -> Array:
    order, classes = rows.order, rows.classes
    high, low = classes.positive, classes.negative
    below, above = np.cumsum(low) - low / 2, high.sum() - np.cumsum(high) + high / 2
    pairs = high.sum() * low.sum()
    value = (high * below).sum() / pairs
    label = rows.label[order.rows]
    wins = label * np.repeat(below, order.sizes) + (1 - label) * np.repeat(above, order.sizes)
    expected = value * (label * low.sum() + (1 - label) * high.sum())
    return sums(cluster[order.rows], wins - expected, clusters) / pairs


def _gauc(rows: Population, cluster: Integers, clusters: int) -> Array:
    label, score, group = in_groups(rows.label, rows.score, rows.group)
    group = numbered(group)
    size, hits = np.bincount(group), sums(group, label, int(group.max()) + 1)
    order = Order.of(keys(group, score))
    of, before = group[order.rows], np.cumsum(size) - size
    rank = np.repeat(order.first + (order.sizes - 1) / 2, order.sizes) - before[of]
    ranks = sums(of, label[order.rows] * rank, len(size))
    pairs = hits * (size - hits)
    kept = pairs > 0
    aucs = (ranks - hits * (hits - 1) / 2)[kept] / pairs[kept]
    weight = size[kept].astype(np.float64)
    owner = _owners(group, cluster[_known(rows)], len(size))[kept]
    return sums(owner, weight * (aucs - np.average(aucs, weights=weight)), clusters) / weight.sum()


def _of_lists(
    value: Callable[[Lists, int], Array], k: int, rows: Population, cluster: Integers, clusters: int
) -> Array:
    label, _, group = in_groups(rows.label, rows.score, rows.group)
    dense = numbered(group)
    owner = _owners(dense, cluster[_known(rows)], int(dense.max()) + 1)
    return _mean(value(rows.lists, k), owner[np.unique(dense[label == 1])], clusters)


def _known(rows: Population) -> Integers:
    """Return the places of the rows that belong to a group."""
    group = rows.group
    if group is None:
        raise ValueError("there are no groups")
    return np.flatnonzero(group != NO_GROUP)


def _owners(group: Integers, cluster: Integers, groups: int) -> Integers:
    """Return the cluster of each group, (groups,)."""
    owner = np.zeros(groups, dtype=np.int64)
    owner[group] = cluster
    return owner


def _gain(lists: Lists, k: int, *, discounted: bool) -> Array:
    top = lists.position < k
    gain = lists.gain[top] * (1 / np.log2(lists.position[top] + 2) if discounted else 1)
    return sums(lists.group[top], gain, len(lists.positives))


def _ndcg(lists: Lists, k: int) -> Array:
    best = np.cumsum(1 / np.log2(np.arange(k) + 2))
    return _gain(lists, k, discounted=True) / best[np.minimum(lists.positives, k) - 1]


OF_ROWS: dict[str, Influence] = {
    "auc": _auc, "gauc": _gauc, "logloss": _log_loss, "bias": _bias, "pcoc": _pcoc, "ece": _ece,
}  # fmt: skip
OF_LISTS: dict[str, Callable[[Lists, int], Array]] = {
    "dcg": lambda lists, k: _gain(lists, k, discounted=True),
    "hits": lambda lists, k: _gain(lists, k, discounted=False),
    "recall": lambda lists, k: _gain(lists, k, discounted=False) / lists.positives,
    "ndcg": _ndcg,
}
