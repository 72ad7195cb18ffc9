"""Calibration and selection diagnostics: right predictions pass, planted faults are found."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss as sklearn_log_loss

from benchmark.metrics.calibration import (
    bias,
    brier,
    ece,
    log_loss,
    pcoc,
    tenths,
)
from benchmark.metrics.diagnostics import (
    ctr_bias,
    ctr_deciles,
    independence,
)
from benchmark.metrics.ordering import Order
from benchmark.metrics.undefined import UndefinedError

RNG = np.random.default_rng(0)
ROWS = 2000
SCORE = RNG.integers(1, 40, ROWS) / 40.0  # ties on purpose
LABEL = (RNG.random(ROWS) < SCORE).astype(float)


def sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def test_log_loss_agrees_with_a_library_and_stays_finite() -> None:
    score = SCORE.clip(0.01, 0.99)
    assert log_loss(LABEL, score) == pytest.approx(sklearn_log_loss(LABEL, score), abs=1e-12)
    assert np.isfinite(log_loss(np.array([1.0, 0.0]), np.array([0.0, 1.0])))
    soft = log_loss(np.array([0.25]), np.array([0.25]))
    assert soft == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)))


def test_calibration_of_a_perfect_and_of_a_doubled_prediction() -> None:
    many = np.repeat(SCORE / 2, 50)
    drawn = (RNG.random(len(many)) < many).astype(float)
    assert pcoc(drawn, many) == pytest.approx(1, abs=0.03)
    assert pcoc(drawn, 2 * many) == pytest.approx(2, abs=0.06)
    assert ece(tenths(Order.of(many), drawn)) < 0.01
    assert ece(tenths(Order.of(2 * many), drawn)) == pytest.approx(many.mean(), abs=0.01)
    assert bias(drawn, 2 * many) == pytest.approx(many.mean(), abs=0.01)
    assert brier(many, 2 * many) == pytest.approx(np.square(many).mean())


def test_a_ratio_to_nothing_and_an_error_to_the_unknown_are_undefined() -> None:
    with pytest.raises(UndefinedError, match="no label is positive"):
        pcoc(np.zeros(3), SCORE[:3])
    with pytest.raises(UndefinedError, match="true probabilities are unknown"):
        brier(None, SCORE)


def test_reliability_bins_hold_all_rows_in_order_of_score() -> None:
    bins = tenths(Order.of(SCORE), LABEL)
    assert sum(rows for rows, _, _ in bins) == ROWS
    assert [score for _, score, _ in bins] == sorted(score for _, score, _ in bins)
    assert np.average([label for *_, label in bins]) == pytest.approx(LABEL.mean())
    assert len(tenths(Order.of(SCORE[:3]), LABEL[:3])) == 3


def test_ties_across_the_edge_of_a_bin_count_alike() -> None:
    by_label, constant = np.sort(LABEL), np.full(ROWS, LABEL.mean())
    assert ece(tenths(Order.of(constant), by_label)) == pytest.approx(0, abs=1e-12)
    assert [mean for *_, mean in tenths(Order.of(constant), by_label)] == pytest.approx(
        [LABEL.mean()] * 10
    )


def world(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return conversions, true CVR and true CTR, whose relation and spread depend on each other."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, rows))
    cvr, ctr = sigmoid(1.5 * x - 1), sigmoid((2 * x + y * np.exp(-x) - 1).clip(-9, 9))
    return (rng.random(rows) < cvr).astype(float), cvr, ctr


def test_a_right_cvr_leaves_no_dependence_on_the_ctr() -> None:
    found = np.array([independence(*world(2000, seed)) for seed in range(300)])
    assert abs(found.mean()) < 2 * found.std(ddof=1) / len(found) ** 0.5


def test_dependence_is_found_with_its_sign_and_scale_errors_are_none() -> None:
    conversion, cvr, ctr = world(50_000, seed=1)
    logit = np.log(cvr / (1 - cvr))
    under = independence(conversion, sigmoid(logit - 0.3 * np.log(ctr / (1 - ctr))), ctr)
    over = independence(conversion, sigmoid(logit + 0.3 * np.log(ctr / (1 - ctr))), ctr)
    assert under > 0.02 > -0.02 > over
    assert abs(independence(conversion, cvr / 2, ctr)) < 0.01


def test_dependence_is_the_correlation_within_twentieths_of_the_cvr() -> None:
    conversion, cvr, ctr = world(300, seed=2)
    logit, residual = np.log(ctr / (1 - ctr)), conversion - cvr
    edges = np.quantile(cvr, np.arange(1, 20) / 20)
    stratum = np.array([sum(edge <= value for edge in edges) for value in cvr])
    for values in (logit, residual):
        for number in range(20):
            values[stratum == number] -= values[stratum == number].mean()
    expected = (logit @ residual) / np.sqrt((logit @ logit) * (residual @ residual))
    assert independence(conversion, cvr, ctr) == pytest.approx(expected, abs=1e-12)


def test_independence_needs_a_ctr_that_varies() -> None:
    conversion, cvr, ctr = world(1000, seed=0)
    with pytest.raises(UndefinedError, match="predicts no CTR"):
        independence(conversion, cvr, None)
    with pytest.raises(UndefinedError, match="does not vary"):
        independence(conversion, cvr, np.full(1000, 0.1))
    with pytest.raises(UndefinedError, match="does not vary"):
        independence(cvr, cvr, ctr)
    saturated = np.where(ctr > 0.5, 1.0, 0.0)
    assert np.isfinite(independence(conversion, cvr, saturated))


def test_bias_within_tenths_of_ctr_shows_what_the_overall_bias_hides() -> None:
    ctr = RNG.permutation(np.arange(ROWS) / ROWS)
    truth = np.full(ROWS, 0.3)
    cvr = truth + 0.1 * (ctr - ctr.mean())
    deciles = ctr_deciles(truth, cvr, ctr)
    assert bias(truth, cvr) == pytest.approx(0, abs=1e-12)
    assert [rows for rows, *_ in deciles] == [ROWS // 10] * 10
    assert [mean - true for *_, mean, true in deciles] == pytest.approx(
        [0.01 * place - 0.045 for place in range(10)]
    )
    assert ctr_bias(truth, cvr, ctr) == pytest.approx(0.045)
    with pytest.raises(UndefinedError, match="neither known nor predicted"):
        ctr_bias(truth, cvr, None)
