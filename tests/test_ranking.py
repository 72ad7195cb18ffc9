"""Top-K metrics against slow loops over groups, and over all orders of tied rows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from math import log2

import numpy as np
import pytest
from sklearn.metrics import dcg_score, ndcg_score

from benchmark.metrics.ranking import Lists, dcg, hits, ndcg, recall
from benchmark.metrics.undefined import UndefinedError

RNG = np.random.default_rng(1)
ROWS = 4000
GROUP = RNG.integers(-200, 500, ROWS)
LABEL = (RNG.random(ROWS) < 0.2).astype(float)
SCORE = RNG.normal(size=ROWS) + LABEL
PLACES = (1, 2, 4, 6, 10, 100)


def top_dcg(labels: np.ndarray, k: int) -> float:
    return sum(label / log2(place + 2) for place, label in enumerate(labels[:k]))


Measure = Callable[[Lists, int], float]
LOOPS: dict[Measure, Callable[[np.ndarray, int], float]] = {
    dcg: top_dcg,
    hits: lambda labels, k: labels[:k].sum(),
    recall: lambda labels, k: labels[:k].sum() / labels.sum(),
    ndcg: lambda labels, k: top_dcg(labels, k) / top_dcg(np.sort(labels)[::-1], k),
}


@pytest.mark.parametrize("measure", LOOPS)
@pytest.mark.parametrize("k", PLACES)
def test_equal_to_a_loop_over_groups_that_have_a_positive(measure: Measure, k: int) -> None:
    values = []
    for group in np.unique(GROUP):
        rows = np.flatnonzero(group == GROUP)
        ranked = LABEL[rows[np.argsort(-SCORE[rows])]]
        if ranked.any():
            values.append(LOOPS[measure](ranked, k))
    assert 0 < len(values) < len(np.unique(GROUP))
    assert measure(Lists.ranked(LABEL, SCORE, GROUP), k) == pytest.approx(np.mean(values))


@pytest.mark.parametrize("measure", LOOPS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_tied_rows_count_as_the_mean_over_all_their_orders(measure: Measure, k: int) -> None:
    label, score = np.array([1.0, 0, 1, 0, 0, 1]), np.array([0.5, 0.5, 0.5, 0.9, 0.1, 0.1])
    orders = [list(order) for order in permutations(range(6)) if is_sorted(score[list(order)])]
    assert len(orders) == 12
    expected = np.mean([LOOPS[measure](label[order], k) for order in orders])
    assert measure(Lists.ranked(label, score, np.zeros(6, int)), k) == pytest.approx(expected)


def is_sorted(score: np.ndarray) -> bool:
    return bool((np.diff(score) <= 0).all())


def test_equal_to_a_library_under_ties() -> None:
    label, score = LABEL.reshape(-1, 20), SCORE.round(1).reshape(-1, 20)
    label[:, 0] = 1
    lists = Lists.ranked(label.ravel(), score.ravel(), np.repeat(np.arange(len(label)), 20))
    for k in PLACES:
        assert dcg(lists, k) == pytest.approx(dcg_score(label, score, k=k), abs=1e-12)
        assert ndcg(lists, k) == pytest.approx(ndcg_score(label, score, k=k), abs=1e-12)


def test_hits_count_and_may_exceed_one_where_recall_is_a_share() -> None:
    label, group = np.array([1.0, 1, 0, 1, 0, 0, 0]), np.array([7, 7, 7, 7, 3, 3, 3])
    lists = Lists.ranked(label, -np.arange(7.0), group)
    assert hits(lists, 2) == 2
    assert recall(lists, 2) == pytest.approx(2 / 3)
    assert dcg(lists, 4) == pytest.approx(1 + 1 / log2(3) + 1 / log2(5))
    assert ndcg(lists, 2) == 1


def test_neither_the_order_of_rows_nor_the_names_of_groups_matter() -> None:
    score, order = SCORE.round(1), RNG.permutation(ROWS)
    lists = Lists.ranked(LABEL, score, GROUP)
    shuffled = Lists.ranked(LABEL[order], score[order], 10**12 * (5 - GROUP[order]))
    for measure in LOOPS:
        assert measure(shuffled, 4) == pytest.approx(measure(lists, 4), abs=1e-12)


def test_without_groups_or_positives_there_is_no_list() -> None:
    with pytest.raises(UndefinedError, match="no groups"):
        Lists.ranked(LABEL, SCORE, None)
    with pytest.raises(UndefinedError, match="no group has a positive"):
        Lists.ranked(np.zeros(3), SCORE[:3], GROUP[:3])
    with pytest.raises(ValueError, match=r"label is 0\.5"):
        Lists.ranked(np.array([0.5, 1, 0]), SCORE[:3], GROUP[:3])
    with pytest.raises(ValueError, match="not a number"):
        Lists.ranked(np.ones(2), np.array([np.nan, 1.0]), GROUP[:2])
