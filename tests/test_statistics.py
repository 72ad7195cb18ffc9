"""Statistics as mathematics: coverage, false-positive rates and power where the truth is known.

A rate over repetitions may differ from its nominal value by two standard errors of a proportion.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

from benchmark.reporting.metric import MARGINS
from benchmark.reporting.statistics import (
    Interval,
    Resampled,
    critical_difference,
    differences,
    equivalent,
    friedman,
    holm,
    interval,
    intervals,
    mean_ranks,
    not_worse_than_best,
    ordering,
    ranks,
    resolvable,
    t_test,
)

REPETITIONS = 1000
DRAWS, SPREAD = 48, 0.012  # replicates and sd of a paired difference in the published leaderboard
UNIT = (0.0, 1.0)
MARGIN = MARGINS["auc"]


def tolerance(rate: float, repetitions: int = REPETITIONS) -> float:
    return 2 * float(np.sqrt(rate * (1 - rate) / repetitions))


def close(found: float, nominal: float, repetitions: int = REPETITIONS) -> bool:
    return abs(found - nominal) <= tolerance(nominal, repetitions)


def at_most(found: float, nominal: float, repetitions: int = REPETITIONS) -> bool:
    return found <= nominal + tolerance(nominal, repetitions)


def world(rng: np.random.Generator, means: np.ndarray, blocks: int) -> np.ndarray:
    """Return costs (methods, blocks): a block's difficulty is shared, the noise is each method's.

    A paired difference of two methods has the standard deviation SPREAD.
    """
    own = rng.normal(0, SPREAD / 2**0.5, (len(means), blocks))
    return means[:, None] + rng.normal(0, 0.03, blocks) + own


# --- intervals


@pytest.mark.parametrize("count", [2, 5, 48])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_an_interval_covers_the_mean_as_often_as_it_says(count: int, confidence: float) -> None:
    rng = np.random.default_rng(count)
    for bounds in ((None, None), UNIT, (0.0, None)):
        drawn = rng.normal(0.7, 0.01, (4000, count))
        found = [i.low <= 0.7 <= i.high for i in intervals(drawn, confidence, bounds)]
        assert close(float(np.mean(found)), confidence, 4000)


def test_an_interval_of_a_bounded_metric_covers_near_its_bounds_unlike_that_of_student() -> None:
    drawn = np.random.default_rng(0).beta(9.5, 0.5, (4000, 3))
    for bounds, least, most in ((UNIT, 0.92, 0.96), ((None, None), 0.7, 0.86)):
        found = intervals(drawn, 0.95, bounds)
        assert least < np.mean([i.low <= 0.95 <= i.high for i in found]) < most
        inside = [0 <= i.low <= i.mean <= i.high <= 1 for i in found]
        assert all(inside) == (bounds == UNIT)


def test_a_metric_on_three_positives_is_never_printed_with_limits_outside_its_range() -> None:
    pair, five = np.array([0.31, 0.92]), np.array([0.31, 0.92, 0.4, 0.9, 0.5])
    assert interval(pair, 0.95).text() == "0.6150 ± 3.8754"
    assert interval(pair, 0.95, UNIT).text() == "0.6150 [0.0000, 1.0000]"
    found = interval(five, 0.95, UNIT)
    assert found.text() == "0.6060 [0.2583, 0.8717]"
    share, error = five.mean(), student.ppf(0.975, 4) * stats.sem(five)
    step = error / (share * (1 - share))
    odds = np.log(share / (1 - share)) + np.array([-step, step])
    assert (found.low, found.high) == pytest.approx(tuple(1 / (1 + np.exp(-odds))))
    assert found.errors == [[found.mean - found.low], [found.high - found.mean]]


def test_a_narrow_interval_is_that_of_student_and_printed_with_its_half_width() -> None:
    values = np.array([0.740, 0.742, 0.745])
    expected = stats.t.interval(0.9, 2, values.mean(), stats.sem(values))
    for bounds in ((None, None), UNIT, (0.0, None)):
        found = interval(values, 0.9, bounds)
        assert (found.low, found.high) == pytest.approx(expected, abs=5e-5)
        assert found.text() == "0.7423 ± 0.0042"
    assert interval(np.array([-0.01, 0.01]), 0.9).text("+.3f") == "+0.000 ± 0.063"
    assert interval(values[:1], 0.9).text() == "0.7400"


def test_whether_an_interval_excludes_0_is_decided_in_one_place() -> None:
    assert Interval(0.2, 0.1).excludes_zero
    assert Interval(-0.2, 0.1).excludes_zero
    assert not Interval(0.05, 0.1).excludes_zero
    assert not Interval(0.2, None).excludes_zero
    assert not Interval(0.0, 0.0).excludes_zero
    assert Interval(0.2, 0.3, (0.05, 0.6)).excludes_zero


def test_values_at_a_bound_have_an_interval_without_width() -> None:
    found = interval(np.ones(4), 0.95, UNIT)
    assert (found.low, found.mean, found.high) == (1, 1, 1)


# --- paired differences


def test_the_p_value_is_that_of_the_t_test_and_constant_gains_are_certain() -> None:
    gains = np.random.default_rng(0).normal(0.1, 1, (5, 20))
    assert t_test(gains) == pytest.approx(stats.ttest_1samp(gains, 0, axis=1).pvalue)
    for side in ("greater", "less"):
        expected = stats.ttest_1samp(gains, 0.2, axis=1, alternative=side).pvalue
        assert t_test(gains, 0.2, side) == pytest.approx(expected)
    assert t_test(np.full(3, 0.1)) == 0
    assert t_test(np.zeros(3)) == 1
    assert t_test(np.full(3, 0.1), 0.2, "greater") == 1


def test_holm_is_that_of_a_library() -> None:
    p_values = np.r_[np.random.default_rng(0).random(20) ** 4, 0, 0.004, 0.00401, 1, 1]
    reject, adjusted = holm(p_values, 0.05)
    expected_reject, expected, *_ = multipletests(p_values, 0.05, method="holm")
    assert adjusted == pytest.approx(expected)
    assert reject.tolist() == expected_reject.tolist()
    assert 0 < reject.sum() < (p_values < 0.05).sum()


def test_no_method_is_better_than_an_equal_reference_in_95_of_100_studies() -> None:
    rng, methods = np.random.default_rng(1), 48
    any_found, single = [], []
    for _ in range(REPETITIONS):
        costs = world(rng, np.zeros(methods), DRAWS)
        found = differences(costs[0] - costs[1:], 0.95)
        any_found.append(any(one.significant for one in found))
        single.append(found[0].interval.excludes_zero)
    assert at_most(float(np.mean(any_found)), 0.05)
    assert np.mean(any_found) > 0.01
    assert close(float(np.mean(single)), 0.05)


def test_the_published_design_finds_what_it_says_before_and_after_holm() -> None:
    rng, methods, sizes = np.random.default_rng(2), 48, np.array([0.005, 0.007, 0.0076])
    before, after = np.zeros(3), np.zeros(3)
    for _ in range(4):
        gains = rng.normal(0, SPREAD, (REPETITIONS, methods, DRAWS))
        for place, size in enumerate(sizes):
            p_values = t_test(np.concatenate([gains[:, :1] + size, gains[:, 1:]], axis=1))
            before[place] += (p_values[:, 0] < 0.05).mean() / 4
            after[place] += np.mean([holm(row, 0.05)[0][0] for row in p_values]) / 4
    assert close(before[0], 0.807, 4000)  # noncentral t, 47 degrees of freedom, level 0.05
    assert close(after[1], 0.702, 4000)  # level 0.05 / 48: 80 % take 56 draws, or 0.0076
    assert close(after[2], 0.803, 4000)


def test_the_smallest_resolvable_difference_is_found_with_the_power_it_promises() -> None:
    rng = np.random.default_rng(3)
    size = resolvable(rng.normal(0, 1, (2000, 10)), 0.95)
    assert size is not None
    found = t_test(rng.normal(size, 1, (4000, 10))) < 0.05
    assert np.mean(found) == pytest.approx(0.8, abs=0.025)
    corrected = resolvable(np.array([[0.0, 1.0, 2.0]]), 0.95, comparisons=20)
    assert corrected is not None
    assert corrected > 1.5 * (resolvable(np.array([[0.0, 1.0, 2.0]]), 0.95) or 9)
    assert resolvable(np.zeros((3, 1)), 0.95) is None


@pytest.mark.parametrize(
    "means", [np.zeros(20), np.arange(20) * 0.001, np.r_[0, np.full(3, 1e-4), np.full(16, 0.1)]]
)
def test_the_truly_best_method_is_marked_in_at_least_95_of_100_studies(means: np.ndarray) -> None:
    rng = np.random.default_rng(4)
    marked = [
        not_worse_than_best(world(rng, means, 10), 0.95)[int(np.argmin(means))]
        for _ in range(REPETITIONS)
    ]
    assert at_most(1 - float(np.mean(marked)), 0.05)


def test_a_clearly_worse_method_is_not_marked_as_best() -> None:
    costs = world(np.random.default_rng(5), np.array([0, 0.0001, 0.05]), 20)
    assert not_worse_than_best(costs, 0.95).tolist() == [True, True, False]
    assert not_worse_than_best(costs[:, :1], 0.95).sum() == 1
    assert not_worse_than_best(costs[:1], 0.95).tolist() == [True]


@pytest.mark.parametrize("count", [10, 48])
def test_methods_that_differ_by_the_margin_are_called_equivalent_in_at_most_5_of_100_studies(
    count: int,
) -> None:
    rng = np.random.default_rng(6)
    for sign in (-1, 1):
        gains = rng.normal(sign * MARGIN, 0.002, (4000, count))
        assert close(float(equivalent(gains, 0.95, MARGIN).mean()), 0.05, 4000)
    assert equivalent(rng.normal(0, 0.001, (4000, count)), 0.95, MARGIN).mean() > 0.9
    assert not equivalent(np.zeros((3, 1)), 0.95, MARGIN).any()


@pytest.mark.parametrize("spread", [0.001, SPREAD])
def test_a_false_report_is_confirmed_and_a_true_one_reversed_rarely(spread: float) -> None:
    rng = np.random.default_rng(7)

    def verdicts(size: float) -> dict[str, float]:
        found = [ordering(rng.normal(size, spread, 20), 0.95, MARGIN) for _ in range(REPETITIONS)]
        return {name: found.count(name) / REPETITIONS for name in set(found)}  # type: ignore[arg-type]

    same = verdicts(0.0)
    assert at_most(same.get("holds", 0), 0.025)
    assert at_most(same.get("reversed", 0), 0.025)
    apart = verdicts(MARGIN)
    assert at_most(apart.get("equivalent", 0), 0.05)
    assert at_most(apart.get("reversed", 0), 0.025)
    assert verdicts(0.02)["holds"] > 0.95
    assert verdicts(-0.02)["reversed"] > 0.95


def test_every_verdict_on_an_ordering_can_be_reached() -> None:
    wide = np.array([-0.01, 0.012])
    assert ordering(np.array([0.010, 0.011, 0.012]), 0.95, MARGIN) == "holds"
    assert ordering(np.array([-0.010, -0.011, -0.012]), 0.95, MARGIN) == "reversed"
    assert ordering(np.array([0.0010, 0.0011, 0.0012]), 0.95, MARGIN) == "equivalent"
    assert ordering(wide, 0.95, MARGIN) == "undecided"
    assert ordering(np.array([0.5]), 0.95, MARGIN) == "undecided"


# --- ranks


@pytest.mark.parametrize(
    ("means", "blocks"),
    [
        (np.arange(5) * 0.002, 40),
        (np.zeros(5), 40),
        (np.r_[np.zeros(3), 0.02, 0.02], 6),
        (np.r_[np.zeros(6), 0.04, 0.04], 12),
        (np.arange(5) * 0.03, 12),
    ],
)
def test_rank_intervals_cover_the_true_rank_also_where_methods_tie(
    means: np.ndarray, blocks: int
) -> None:
    rng = np.random.default_rng(8)
    best = 1 + (means[:, None] > means).sum(axis=1)
    last = len(means) - (means[:, None] < means).sum(axis=1)
    missed = np.zeros(len(means))
    for repetition in range(REPETITIONS):
        costs = stats.rankdata(world(rng, means, blocks), axis=0)
        found = ranks(costs, 0.95, resamples=100, seed=repetition)
        assert found is not None
        missed += (found.low > best) | (found.high < last)
    assert at_most(float(missed.max()) / REPETITIONS, 0.05, REPETITIONS)


def test_rank_intervals_narrow_with_blocks_to_the_rank_itself() -> None:
    rng, means = np.random.default_rng(9), np.arange(6) * 0.01
    few, many = (
        ranks(stats.rankdata(world(rng, means, blocks), axis=0), 0.95) for blocks in (6, 400)
    )
    assert few is not None
    assert many is not None
    assert (few.high - few.low).sum() > 5
    assert many.low.tolist() == many.high.tolist() == many.rank.tolist() == [1, 2, 3, 4, 5, 6]
    assert ranks(np.zeros((3, 1)), 0.95) is None


def test_rank_intervals_of_reversed_costs_are_those_of_the_costs_reversed() -> None:
    costs = stats.rankdata(world(np.random.default_rng(0), np.arange(12) * 0.003, 30), axis=0)
    forth, back = ranks(costs, 0.95), ranks(-costs, 0.95)
    assert forth is not None
    assert back is not None
    assert 1 < (forth.high - forth.low).mean() < 9
    assert (13 - back.high).tolist() == forth.low.tolist()
    assert (13 - back.low).tolist() == forth.high.tolist()


def test_friedman_rejects_equal_methods_as_often_as_it_says() -> None:
    rng = np.random.default_rng(10)
    p_values = [friedman(world(rng, np.zeros(10), 30)) for _ in range(REPETITIONS)]
    assert close(float(np.mean(np.array(p_values) < 0.05)), 0.05)
    assert friedman(world(rng, np.arange(10) * 0.01, 30)) < 1e-6
    assert friedman(np.ones((3, 4)) * [1, 2, 3, 4]) == 1, "equal in every block"


def test_mean_ranks_of_equal_methods_differ_by_the_critical_difference_in_at_most_5_of_100() -> (
    None
):
    rng, limit = np.random.default_rng(11), critical_difference(10, 40, 0.95)
    spans = [np.ptp(mean_ranks(world(rng, np.zeros(10), 40))) for _ in range(REPETITIONS)]
    assert close(float(np.mean(np.array(spans) > limit)), 0.05)


def test_the_critical_difference_of_43_methods_on_100_blocks_is_7_ranks() -> None:
    assert critical_difference(43, 100, 0.95) == pytest.approx(6.964, abs=0.001)
    assert critical_difference(5, 30, 0.95) == pytest.approx(1.1136, abs=0.001)  # q = 2.728


# --- real datasets: data that all replicates share, and weights


def test_the_interval_of_a_real_dataset_covers_under_both_its_users_and_its_seeds() -> None:
    rng, users, seeds, count = np.random.default_rng(14), 60, 3, REPETITIONS
    by_user = rng.normal(0.01, 0.05, (count, users))
    by_seed = rng.normal(0, 0.005, (count, seeds))
    weights = rng.multinomial(users, np.full(users, 1 / users), 200) / users
    values = by_user.mean(axis=1, keepdims=True) + by_seed
    drawn = by_user @ weights.T + by_seed.mean(axis=1, keepdims=True)

    def covered(data: Resampled | None) -> float:
        found = intervals(values, 0.95, data=data)
        return float(np.mean([i.low <= 0.01 <= i.high for i in found]))

    assert close(covered(Resampled(drawn, users)), 0.95)
    assert covered(None) < 0.9
