"""Metrics of true probabilities: equal to loops over pairs, and free of the noise of sampling."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from benchmark.metrics.discrimination import (
    Classes,
    auc,
    average_precision,
    gauc,
    ks,
    snips_auc,
)
from benchmark.metrics.ordering import Order
from benchmark.metrics.undefined import UndefinedError

RNG = np.random.default_rng(3)
Array = np.ndarray
Measure = Callable[[Array, Array], float]
GROUPS = np.repeat(np.arange(40), 500)
MEASURES: dict[str, Measure] = {
    "auc": lambda label, score: auc(Classes.at(label, Order.of(score))),
    "average precision": lambda label, score: average_precision(Classes.at(label, Order.of(score))),
    "gauc": lambda label, score: gauc(label, score, GROUPS[: len(label)]),
}


def world(rows: int, rate: float) -> tuple[Array, Array]:
    """Return true probabilities around a rate, and scores that know half of them, with ties."""
    known, unknown = np.random.default_rng(0).normal(size=(2, rows))
    truth = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + 0.7 * known + 0.7 * unknown)))
    return truth, known.round(1)


def pairs(label: Array, score: Array, weight: Array) -> tuple[float, float]:
    """Return the expected weight of rightly ordered pairs and of all, by a loop."""
    won = total = 0.0
    for i, j in product(range(len(label)), repeat=2):
        if i != j:
            pair = label[i] * (1 - label[j]) * weight[i] * weight[j]
            won += pair * (float(score[i] > score[j]) + float(score[i] == score[j]) / 2)
            total += pair
    return won, total


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_the_auc_is_that_of_all_pairs_weighted_by_their_probability(decimals: int) -> None:
    label, score = RNG.random(60), RNG.normal(size=60).round(decimals)
    weight = RNG.uniform(1, 9, 60)
    won, total = pairs(label, score, np.ones(60))
    assert auc(Classes.at(label, Order.of(score))) == pytest.approx(won / total, abs=1e-12)
    won, total = pairs(label, score, weight)
    assert snips_auc(label, Order.of(score), 1 / weight) == pytest.approx(won / total, abs=1e-12)


def test_the_gauc_weights_groups_by_rows_and_by_the_chance_of_both_classes() -> None:
    label, score, group = RNG.random(60) ** 3, RNG.normal(size=60).round(0), np.arange(60) % 7
    label[group == 3] = 0
    values, weights = [], []
    for number in set(range(7)) - {3}:
        rows = group == number
        won, total = pairs(label[rows], score[rows], np.ones(rows.sum()))
        values.append(won / total)
        both = 1 - np.prod(1 - label[rows]) - np.prod(label[rows])
        weights.append(rows.sum() * both)
    expected = np.average(values, weights=weights)
    assert gauc(label, score, group) == pytest.approx(expected, abs=1e-12)


def test_average_precision_is_the_expected_precision_at_positives_over_their_expected_number() -> (
    None
):
    label, score = RNG.random(12), RNG.integers(0, 5, 12)
    hits = 0.0
    for outcome in map(np.array, product((0.0, 1.0), repeat=12)):
        chance = np.where(outcome == 1, label, 1 - label).prod()
        above = [outcome[score >= s].mean() for s in score[outcome == 1]]
        hits += chance * sum(above)
    expected = hits / label.sum()
    assert average_precision(Classes.at(label, Order.of(score))) == pytest.approx(
        expected, abs=1e-12
    )


@pytest.mark.parametrize("rate", [0.03, 0.4])
@pytest.mark.parametrize("name", MEASURES)
def test_the_mean_over_sampled_labels_approaches_the_value_of_the_true_probabilities(
    name: str, rate: float
) -> None:
    measure, (truth, score) = MEASURES[name], world(len(GROUPS), rate)
    rng = np.random.default_rng(1)
    sampled = np.array(
        [measure((rng.random(len(truth)) < truth).astype(float), score) for _ in range(200)]
    )
    error = sampled.std(ddof=1) / len(sampled) ** 0.5
    assert sampled.std() > 0.003
    assert abs(measure(truth, score) - sampled.mean()) < 2 * error


@pytest.mark.parametrize("name", MEASURES)
def test_order_and_scale_of_rows_do_not_matter_and_a_constant_score_knows_nothing(
    name: str,
) -> None:
    measure, (truth, score) = MEASURES[name], world(50, 0.2)
    order = RNG.permutation(50)
    assert measure(truth[order], score[order]) == pytest.approx(measure(truth, score), abs=1e-12)
    assert measure(truth, 7 * score + 1) == pytest.approx(measure(truth, score), abs=1e-12)
    chance = measure(truth, np.ones(50))
    assert chance == pytest.approx(0.5 if "auc" in name else truth.mean(), abs=0.02)
    if "auc" in name:
        assert chance == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("only", [0.0, 1.0])
def test_probabilities_that_are_all_0_or_all_1_order_no_pair(name: str, only: float) -> None:
    with pytest.raises(UndefinedError, match=r"all labels are|both classes"):
        MEASURES[name](np.full(50, only), np.arange(50.0))


@pytest.mark.parametrize("name", ["auc", "gauc"])
def test_a_single_uncertain_row_among_certain_ones_counts_as_either(name: str) -> None:
    label, score = np.array([0.0, 0.5, 1.0]), np.array([0.1, 0.2, 0.3])
    assert MEASURES[name](label, score) == pytest.approx(1)
    assert MEASURES[name](label, -score) == pytest.approx(0, abs=1e-15)
    with pytest.raises(UndefinedError):
        MEASURES[name](label[1:2], score[1:2])


def test_ks_is_the_largest_gap_between_the_expected_rates() -> None:
    label, score = RNG.random(80), RNG.normal(size=80).round(1)
    gaps = [
        label[score >= s].sum() / label.sum() - (1 - label)[score >= s].sum() / (1 - label).sum()
        for s in score
    ]
    assert ks(Classes.at(label, Order.of(score))) == pytest.approx(max(gaps), abs=1e-12)
