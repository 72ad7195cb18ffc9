"""Estimators of an error over all impressions: formulas by hand, and a world of known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.metrics.calibration import cross_entropy
from benchmark.reporting.studies.estimators.estimate import ESTIMATORS, Clicks
from benchmark.reporting.studies.estimators.report import mixed, results, write
from benchmark.reporting.studies.estimators.world import (
    SHARES,
    World,
    completed,
    cut,
    cvr_of,
    predictions,
    ratings_file,
)

CELLS = 20_000


@pytest.fixture(scope="module")
def small() -> World:
    rating = cut(np.random.default_rng(1).normal(size=CELLS))
    return World(rating, 0.4 * 0.5 ** np.maximum(0, 4 - rating))


def test_estimates_are_those_of_the_formulas() -> None:
    conversion, predicted = np.array([1.0, 0.0]), np.array([0.8, 0.4])
    clicks = Clicks(conversion, predicted, np.array([0.5, 0.25]), 10, (0.7, 1.1))
    first, second = -np.log(0.8), -np.log(0.6)
    found = {name: estimator(clicks) for name, estimator in ESTIMATORS.items()}
    assert found["Naive"] == pytest.approx((first + second) / 2)
    assert found["IPS"] == pytest.approx((2 * first + 4 * second) / 10)
    assert found["SNIPS"] == pytest.approx((2 * first + 4 * second) / 6)

    def gap(q: float) -> list[float]:
        imputed = cross_entropy(np.full(2, q), predicted)
        return [first - imputed[0], second - imputed[1]]

    assert found["EIB"] == pytest.approx(0.5 * 0.7 + 0.5 * 1.1 + sum(gap(0.5)) / 10)
    for name, weights in {"DR": (2, 4), "MRDR": (0.5 / 0.25, 0.75 / 0.0625)}.items():
        losses = {
            q: sum(w * g**2 for w, g in zip(weights, gap(q), strict=True))
            for q in np.linspace(0, 1, 10_001)
        }
        q = min(losses, key=losses.__getitem__)
        by_hand = (1 - q) * 0.7 + q * 1.1 + (2 * gap(q)[0] + 4 * gap(q)[1]) / 10
        assert found[name] == pytest.approx(by_hand, abs=1e-3)


def test_with_true_propensities_weighted_estimates_are_unbiased_and_naive_ones_are_not(
    small: World,
) -> None:
    table = pd.DataFrame(results(small, draws=40))
    table["z"] = table["estimate"] / table["truth"] - 1
    for (beta, matrix, name), errors in table.groupby(["beta", "matrix", "estimator"])["z"]:
        bias, error = errors.mean(), errors.std() / len(errors) ** 0.5
        if beta == 0 and name in {"IPS", "SNIPS", "DR", "MRDR"}:
            assert abs(bias) < 4 * error + 1e-3, (matrix, name)
    naive = table[(table["estimator"] == "Naive") & (table["matrix"] == "ROTATE")]["z"]
    assert abs(naive.mean()) > 0.2


def test_propensities_that_tell_nothing_make_ips_naive(small: World) -> None:
    table = pd.DataFrame(results(small, draws=2)).set_index(["beta", "matrix", "draw"])
    own = table.loc[1.0]
    pairs = own[own["estimator"].isin(["Naive", "IPS", "SNIPS"])].groupby(["matrix", "draw"])
    assert (pairs["estimate"].max() - pairs["estimate"].min()).max() < 1e-12


def test_mixed_propensities_lie_between_the_true_ones_and_the_rate() -> None:
    true = np.array([0.1, 0.4])
    assert mixed(true, 0.2, 0.0) == pytest.approx(true)
    assert mixed(true, 0.2, 1.0) == pytest.approx([0.2, 0.2])
    assert mixed(true, 0.2, 0.5) == pytest.approx([1 / 7.5, 1 / 3.75])


def test_ratings_are_cut_to_the_shares_in_the_order_of_the_values() -> None:
    values = np.random.default_rng(2).normal(size=CELLS)
    rating = cut(values)
    assert np.bincount(rating.astype(int))[1:] / CELLS == pytest.approx(SHARES, abs=1e-3)
    assert (np.diff(rating[np.argsort(values)]) >= 0).all()


def test_each_matrix_is_wrong_in_its_own_way(small: World) -> None:
    rating, fives = small.rating, (small.rating == 5).sum()
    found = predictions(rating)
    for name, value in {"ONE": 1, "THREE": 3, "FOUR": 4}.items():
        changed = found[name] != rating
        assert changed.sum() == fives
        assert set(rating[changed]) == {value}
        assert set(found[name][changed]) == {5}
    pairs = dict(zip(rating, found["ROTATE"], strict=True))
    assert pairs == {1: 5, 2: 1, 3: 2, 4: 3, 5: 4}
    assert dict(zip(rating, found["CRS"], strict=True)) == {1: 3, 2: 3, 3: 3, 4: 4, 5: 4}
    skew = found["SKEW"]
    assert (skew.min(), skew.max()) == (1, 5)
    assert skew[rating == 1].std() > skew[rating == 5].std()
    assert cvr_of(np.array([1.0, 5.0])) == pytest.approx([0.1, 0.9])


def test_the_ratings_that_recbole_ships_are_completed_for_every_cell() -> None:
    values = completed(ratings_file())
    assert values.shape == (943 * 1682,)
    assert np.isfinite(values).all()
    assert np.allclose(values, completed(ratings_file()))  # the same in every run


def test_the_page_shows_the_mean_of_the_draws(small: World, tmp_path: Path) -> None:
    write(small, tmp_path, draws=3)
    table = pd.read_csv(tmp_path / "estimators.csv")
    own = table.query("beta == 0 and matrix == 'CRS' and estimator == 'Naive'")
    shown = f"{own['relative_error'].mean():.1%} ± {own['relative_error'].std():.1%}"
    page = (tmp_path / "estimators.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.startswith("| CRS"))
    assert [cell.strip() for cell in line.split("|")][2] == shown
