"""AUC and its kin against scikit-learn, on what breaks fast implementations: ties and extremes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from threadpoolctl import threadpool_limits

from benchmark.metrics import discrimination
from benchmark.metrics.discrimination import Classes, gauc
from benchmark.metrics.ordering import Order
from benchmark.metrics.undefined import UndefinedError

RNG = np.random.default_rng(0)
ROWS = 3000
LABEL = (RNG.random(ROWS) < 0.3).astype(float)
NORMAL = RNG.normal(size=ROWS) + LABEL
SCORES = {
    "continuous": NORMAL,
    "single precision": (1 / (1 + np.exp(-NORMAL))).astype(np.float32).astype(float),
    "kept in single precision": NORMAL.astype(np.float32),
    "many ties": NORMAL.round(1).clip(0),
    "all tied": np.full(ROWS, 0.25),
    "both zeros": np.where(NORMAL > 0, 0.0, -0.0),
    "tiny": np.exp(200 * NORMAL - 700).clip(5e-324),
    "huge": 1e300 * NORMAL,
    "infinite": np.where(NORMAL > 1, np.inf, np.where(NORMAL < 0, -np.inf, NORMAL)),
    "one part in 2⁵²": 1 + np.spacing(1.0) * NORMAL.round(),
    "whole": NORMAL.round().astype(int),
}


def auc(label: np.ndarray, score: np.ndarray) -> float:
    return discrimination.auc(Classes.at(label, Order.of(score)))


def test_no_bit_of_an_auc_depends_on_the_threads_of_linear_algebra() -> None:
    label, score = RNG.random((20, 50_000)), RNG.random(50_000)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append([auc(row, score) for row in label])
    assert found[0] == found[1]


def average_precision(label: np.ndarray, score: np.ndarray) -> float:
    return discrimination.average_precision(Classes.at(label, Order.of(score)))


def ks(label: np.ndarray, score: np.ndarray) -> float:
    return discrimination.ks(Classes.at(label, Order.of(score)))


def snips_auc(label: np.ndarray, score: np.ndarray, propensity: np.ndarray | None) -> float:
    return discrimination.snips_auc(label, Order.of(score), propensity)


MEASURES = (auc, average_precision, ks)


def sklearn_ks(label: np.ndarray, score: np.ndarray) -> float:
    false, true, _ = roc_curve(label, score, drop_intermediate=False)
    return float((true - false).max())


def finite(score: np.ndarray) -> np.ndarray:
    """Return the same order and ties in numbers that scikit-learn accepts."""
    return np.unique(score, return_inverse=True)[1]


@pytest.mark.parametrize("name", SCORES)
def test_equal_to_a_library_to_the_last_digits(name: str) -> None:
    score, plain = SCORES[name], finite(SCORES[name])
    assert auc(LABEL, score) == pytest.approx(roc_auc_score(LABEL, plain), abs=1e-12)
    expected = average_precision_score(LABEL, plain)
    assert average_precision(LABEL, score) == pytest.approx(expected, abs=1e-12)
    assert ks(LABEL, score) == pytest.approx(sklearn_ks(LABEL, plain), abs=1e-12)


def test_ties_count_half() -> None:
    score = SCORES["many ties"]
    wins = (score[LABEL == 1][:, None] > score[LABEL == 0]).mean()
    ties = (score[LABEL == 1][:, None] == score[LABEL == 0]).mean()
    assert ties > 0.01
    assert auc(LABEL, score) == pytest.approx(wins + ties / 2, abs=1e-12)
    assert auc(LABEL, SCORES["all tied"]) == 0.5
    assert ks(LABEL, SCORES["all tied"]) == 0


@pytest.mark.parametrize(("score", "area"), [((0.1, 0.2), 1), ((0.2, 0.2), 0.5), ((0.3, 0.2), 0)])
def test_two_rows_suffice(score: tuple[float, float], area: float) -> None:
    assert auc(np.array([0.0, 1.0]), np.array(score)) == area


@pytest.mark.parametrize("kind", [bool, np.int8, np.int64, np.float32])
def test_labels_may_have_any_type(kind: type) -> None:
    for measure in MEASURES:
        assert measure(LABEL.astype(kind), NORMAL) == measure(LABEL, NORMAL)


@pytest.mark.parametrize("measure", MEASURES)
def test_one_class_is_undefined_and_what_is_no_class_or_number_is_refused(
    measure: Callable[[np.ndarray, np.ndarray], float],
) -> None:
    for only in (0.0, 1.0):
        with pytest.raises(UndefinedError, match=f"all labels are {only:.0f}"):
            measure(np.full(5, only), NORMAL[:5])
    for bad in (1.25, np.nan, -1.0):
        with pytest.raises(ValueError, match=f"label is {bad}"):
            measure(np.array([0.0, 1.0, bad]), NORMAL[:3])
    for label in (0.0, 1.0):
        with pytest.raises(ValueError, match="not a number"):
            measure(np.array([0.0, 1.0, label]), np.array([0.1, 0.2, np.nan]))


@pytest.mark.parametrize("name", SCORES)
def test_gauc_is_the_row_weighted_auc_within_groups_of_both_classes(name: str) -> None:
    group = np.random.default_rng(1).integers(0, 50, 200)
    score, label = SCORES[name][:200], LABEL[:200]
    values, weights = [], []
    for g in np.unique(group):
        rows = group == g
        if 0 < label[rows].sum() < rows.sum():
            values.append(roc_auc_score(label[rows], finite(score)[rows]))
            weights.append(rows.sum())
    assert 0 < len(values) < len(np.unique(group))
    expected = np.average(values, weights=weights)
    for numbers in (group, -group, 10**15 * group, 10**15 * (group - 25)):
        assert gauc(label, score, numbers) == pytest.approx(expected, abs=1e-12)


def test_gauc_without_groups_or_without_both_classes_in_any_is_undefined() -> None:
    with pytest.raises(UndefinedError, match="no groups"):
        gauc(LABEL, NORMAL, None)
    with pytest.raises(UndefinedError, match="no group has both"):
        gauc(LABEL, NORMAL, LABEL.astype(int))
    with pytest.raises(ValueError, match="not a number"):
        gauc(np.array([0.0, 1.0]), np.array([0.1, np.nan]), np.zeros(2, dtype=int))
    with pytest.raises(ValueError, match=r"label is 1\.5"):
        gauc(np.array([1.5, 1.0]), np.array([0.1, 0.2]), np.zeros(2, dtype=int))


@pytest.mark.parametrize("name", SCORES)
def test_snips_auc_weights_each_pair_by_both_inverse_propensities(name: str) -> None:
    propensity = np.random.default_rng(2).uniform(0.05, 1, ROWS)
    expected = roc_auc_score(LABEL, finite(SCORES[name]), sample_weight=1 / propensity)
    assert snips_auc(LABEL, SCORES[name], propensity) == pytest.approx(expected, abs=1e-12)
    equal = snips_auc(LABEL, SCORES[name], np.full(ROWS, 0.1))
    assert equal == pytest.approx(auc(LABEL, SCORES[name]), abs=1e-12)


def test_snips_auc_needs_positive_propensities() -> None:
    with pytest.raises(UndefinedError, match="propensities of clicks are unknown"):
        snips_auc(LABEL, NORMAL, None)
    with pytest.raises(UndefinedError, match="no positive propensity"):
        snips_auc(LABEL, NORMAL, np.linspace(0, 1, ROWS))


def test_snips_auc_of_clicks_estimates_that_of_all_impressions() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 400_000))
    propensity = 1 / (1 + np.exp(1 - 1.5 * x))
    conversion = (rng.random(len(x)) < 1 / (1 + np.exp(1 - x - y))).astype(float)
    clicked = rng.random(len(x)) < propensity
    everywhere, naive = auc(conversion, x), auc(conversion[clicked], x[clicked])
    weighted = snips_auc(conversion[clicked], x[clicked], propensity[clicked])
    assert abs(naive - everywhere) > 0.02
    assert weighted == pytest.approx(everywhere, abs=0.01)
