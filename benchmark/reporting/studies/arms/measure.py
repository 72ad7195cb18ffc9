r"""Statistics of randomised arms: pure functions of counts, outcomes and predictions.

An arm a is drawn at random for each row; then follow a click and, on clicks alone, a conversion.
The draw makes two contrasts between arms causal: that of the clicks (CTR) and that of the
conversions per row (CTCVR). It does not make that of the conversions per click causal (CVR), as the
clicks of two arms are of different rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

FEWEST = 5.0  # expected positives of a cell, below which the chi-squared distribution is poor
RESAMPLES = 2000


@dataclass(frozen=True)
class Counts:
    """Rows of an arm, how many of them were clicked, and how many of these converted."""

    rows: int
    clicks: int
    conversions: int

    @property
    def ctr(self) -> float:
        """Clicks per row."""
        return self.clicks / self.rows

    @property
    def ctcvr(self) -> float:
        """Conversions per row."""
        return self.conversions / self.rows

    @property
    def cvr(self) -> float:
        """Conversions per click; NaN without a click."""
        return self.conversions / self.clicks if self.clicks else float("nan")


@dataclass(frozen=True)
class Estimate:
    """A number with the half-width of its interval."""

    value: float
    half_width: float

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside of the interval."""
        return abs(self.value) > self.half_width


@dataclass(frozen=True)
class Bounds:
    """Limits of a number that the data do not identify; ``low`` and ``high`` allow for sampling."""

    lower: float
    upper: float
    low: float
    high: float


def quantile(confidence: float) -> float:
    """Return the quantile of the normal distribution for a two-sided interval."""
    return float(stats.norm.ppf((1 + confidence) / 2))


def difference(
    treated: int, of_treated: int, control: int, of_control: int, confidence: float
) -> Estimate:
    r"""Return the difference of two shares, of independent samples.

    .. math:: \hat p_1 - \hat p_0 \pm z \sqrt{\hat p_1 (1 - \hat p_1) / n_1
              + \hat p_0 (1 - \hat p_0) / n_0}
    """
    first, second = treated / of_treated, control / of_control
    variance = first * (1 - first) / of_treated + second * (1 - second) / of_control
    return Estimate(first - second, quantile(confidence) * float(np.sqrt(variance)))


def standardised(
    clicks: Array, conversions: Array, weights: Array, confidence: float
) -> Estimate | None:
    r"""Return the difference of two arms' CVR had both the same clicks by stratum.

    .. math:: \sum_s w_s (\hat r_{1s} - \hat r_{0s}), \quad \sum_s w_s = 1

    ``clicks`` and ``conversions`` are (2, strata), the treated arm first; ``weights`` (strata,)
    are the shares of the strata among all rows. What it differs in from the plain difference is
    the selection by the click that the strata explain. None if an arm lacks clicks in a stratum.
    """
    if not clicks.all():
        return None
    shares = weights / weights.sum()
    rate = conversions / clicks
    variance = (np.square(shares) * rate * (1 - rate) / clicks).sum()
    value = float((shares * (rate[0] - rate[1])).sum())
    return Estimate(value, quantile(confidence) * float(np.sqrt(variance)))


def always_clicked(treated: Counts, control: Counts, confidence: float, seed: int = 0) -> Bounds:
    r"""Return sharp bounds of the effect on the conversions of rows clicked in either arm.

    With the arm that has more clicks as 1, the share :math:`q = \mathrm{CTR}_0 / \mathrm{CTR}_1`
    of its clicks is of rows that are clicked in both, if no row is clicked in the other arm alone.
    Their conversions in it lie between those of its least and of its most converting clicks:

    .. math:: \frac{\max(0, r_1 - (1 - q))}{q} \le r_{1|\text{both}} \le \frac{\min(q, r_1)}{q}

    and in the other arm they are all clicks. Source: D. S. Lee, "Training, wages, and sample
    selection", Review of Economic Studies 76(3), 2009. ``low`` and ``high`` are quantiles of the
    bounds over draws of the counts, at half the error on either side.
    """
    rng = np.random.default_rng(seed)
    resampled = [
        _bounds(*pair) for pair in zip(_drawn(treated, rng), _drawn(control, rng), strict=True)
    ]
    lower, upper = np.array(resampled).T
    tail = (1 - confidence) / 2
    return Bounds(
        *_bounds(treated, control),
        float(np.quantile(lower, tail)),
        float(np.quantile(upper, 1 - tail)),
    )


def _bounds(treated: Counts, control: Counts) -> tuple[float, float]:
    if treated.ctr < control.ctr:
        lower, upper = _bounds(control, treated)
        return -upper, -lower
    share = control.ctr / treated.ctr
    least = max(0.0, treated.cvr - (1 - share)) / share
    most = min(share, treated.cvr) / share
    return least - control.cvr, most - control.cvr


def _drawn(counts: Counts, rng: np.random.Generator) -> list[Counts]:
    rest = counts.rows - counts.clicks
    shares = np.array([counts.conversions, counts.clicks - counts.conversions, rest]) / counts.rows
    drawn = rng.multinomial(counts.rows, shares, RESAMPLES)
    return [Counts(counts.rows, int(a + b), int(a)) for a, b, _ in drawn if a + b]


def rate_error(label: Array, predicted: Array, confidence: float) -> Estimate:
    r"""Return how much higher the mean prediction (rows,) is than the rate of the label (rows,).

    .. math:: \bar p - \bar y \pm z \sqrt{\sum_i (d_i - \bar d)^2 / n^2}, \quad d_i = p_i - y_i
    """
    gaps = predicted - label
    return Estimate(float(gaps.mean()), quantile(confidence) * _standard_error(gaps))


def uplift_error(
    treated: tuple[Array, Array], control: tuple[Array, Array], confidence: float
) -> Estimate:
    """Return how much higher the predicted difference of two arms is than the observed one.

    Each arm has labels and predictions, (rows,) each. The interval is that of two independent
    samples of gaps between prediction and label.
    """
    first, second = (predicted - label for label, predicted in (treated, control))
    error = float(np.hypot(_standard_error(first), _standard_error(second)))
    return Estimate(float(first.mean() - second.mean()), quantile(confidence) * error)


def _standard_error(values: Array) -> float:
    return float(values.std() / np.sqrt(len(values)))


def averaged(estimates: list[Estimate], confidence: float) -> Estimate:
    """Return the mean over replicates, which share the rows: their intervals do not shrink.

    The half-width joins that of the rows and that of the mean over replicates (Student's t).
    """
    values, count = np.array([estimate.value for estimate in estimates]), len(estimates)
    rows = np.mean([estimate.half_width for estimate in estimates])
    spread = 0.0
    if count > 1:
        error = values.std(ddof=1) / np.sqrt(count)
        spread = stats.t.ppf((1 + confidence) / 2, count - 1) * error
    return Estimate(float(values.mean()), float(np.hypot(rows, spread)))


def calibration(label: Array, predicted: Array, cell: Integers) -> tuple[float, int, float]:
    r"""Return the statistic, the degrees of freedom and the p-value of calibration by cells.

    .. math:: \chi^2 = \sum_c \frac{(\sum_{i \in c} y_i - p_i)^2}{\sum_{i \in c} p_i (1 - p_i)}

    Its distribution is that of as many squared normal numbers as there are cells, if the
    predictions, which no test row has influenced, are right. Cells with fewer than ``FEWEST``
    expected positives are taken together.
    """
    expected = np.bincount(cell, predicted)
    cell = np.where(expected[cell] < FEWEST, expected.size, cell)
    gap = np.bincount(cell, label - predicted)
    variance = np.bincount(cell, predicted * (1 - predicted))
    used = variance > 0
    statistic = float((np.square(gap[used]) / variance[used]).sum())
    freedom = int(used.sum())
    return statistic, freedom, float(stats.chi2.sf(statistic, freedom))
