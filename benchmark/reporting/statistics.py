r"""Intervals, tests and ranks: pure functions of arrays, the only place where any of it is decided.

``costs`` have a row per method and a column per replicate; lower ones are better, and replicate j
is the same draw for every method, so that differences are paired. A block is a replicate of a
setting. The significance level is :math:`\alpha = 1 -` ``confidence`` throughout.

Where all replicates share their test data, their spread is that of training alone. ``data`` then
adds that of the data: every function takes it that can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit, stdtr
from statsmodels.stats.power import TTestPower

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Bounds = tuple[float | None, float | None]
Side = Literal["two-sided", "greater", "less"]
Verdict = Literal["holds", "reversed", "equivalent", "undecided"]

POWER = 0.8
RESAMPLES = 2000
ROUNDING = 1 / 6  # variance of the difference of two values that are rounded to whole numbers
UNBOUNDED: Bounds = (None, None)


@dataclass(frozen=True)
class Interval:
    """A mean with its interval: ``half_width`` is None where one value tells nothing of spread.

    ``limits`` are given where they are not symmetric about the mean.
    """

    mean: float
    half_width: float | None
    limits: tuple[float, float] | None = None

    @property
    def low(self) -> float:
        """The lower limit; the mean where there is no interval."""
        return self.limits[0] if self.limits else self.mean - (self.half_width or 0.0)

    @property
    def high(self) -> float:
        """The upper limit; the mean where there is no interval."""
        return self.limits[1] if self.limits else self.mean + (self.half_width or 0.0)

    @property
    def errors(self) -> list[list[float]] | None:
        """The distances of the limits from the mean, as error bars take them."""
        if self.half_width is None:
            return None
        return [[self.mean - self.low], [self.high - self.mean]]

    @property
    def excludes_zero(self) -> bool:
        """Whether the mean is significantly different from 0; one value never is."""
        return self.half_width is not None and (self.low > 0 or self.high < 0)

    def text(self, style: str = ".4f", plus_minus: str = " ± ") -> str:
        """Return mean and half-width, or the limits where one side is clearly the wider."""
        mean, width = format(self.mean, style), self.half_width
        if width is None:
            return mean
        if abs(self.low + self.high - 2 * self.mean) <= 0.2 * width:
            return f"{mean}{plus_minus}{width:{style.lstrip('+')}}"
        return f"{mean} [{self.low:{style}}, {self.high:{style}}]"


@dataclass(frozen=True)
class Resampled:
    """Means over replicates on resampled test data, (..., draws): the same draws for all means.

    ``clusters`` is how many independent clusters, such as users, bear on them.
    """

    means: Array
    clusters: int

    def __getitem__(self, rows: Any) -> Resampled:
        """Return those of some of the means."""
        return Resampled(self.means[rows], self.clusters)

    def __sub__(self, other: Resampled) -> Resampled:
        """Return differences, which the same draws pair."""
        return Resampled(self.means - other.means, min(self.clusters, other.clusters))


def moments(values: Array, data: Resampled | None = None) -> tuple[Array, Array, Array]:
    r"""Return mean, standard error and degrees of freedom of the last axis, the replicates.

    With ``data``, the variance of a mean is the sum of that over resampled data, at fixed weights,
    and of that over replicates, at the given data; the degrees of freedom are those of Welch and
    Satterthwaite.
    """
    mean, count = values.mean(axis=-1), values.shape[-1]
    of_weights = values.var(axis=-1, ddof=1) / count
    if data is None:
        return mean, np.sqrt(of_weights), np.full(mean.shape, count - 1.0)
    of_data = data.means.var(axis=-1, ddof=1)
    total = of_data + of_weights
    terms = of_data**2 / max(data.clusters - 1, 1) + of_weights**2 / (count - 1)
    freedom = np.full(mean.shape, count - 1.0)
    return mean, np.sqrt(total), np.divide(total**2, terms, freedom, where=terms > 0)


def interval(
    values: Array, confidence: float, bounds: Bounds = UNBOUNDED, data: Resampled | None = None
) -> Interval:
    """Return that of one mean, of values (replicates,), as :func:`intervals` does."""
    return intervals(values[None], confidence, bounds, None if data is None else data[None])[0]


def intervals(
    values: Array, confidence: float, bounds: Bounds = UNBOUNDED, data: Resampled | None = None
) -> list[Interval]:
    r"""Return Student-t intervals of means of independent replicates, (means, replicates).

    With bounds it is taken on a scale that has none, and lies within them: of a mean m with
    standard error s, :math:`\operatorname{logit} m \pm t s / (m (1 - m))` between 0 and 1 (the
    delta method), :math:`\log m \pm t s / m` above 0. Narrow intervals are those of Student.
    """
    if values.shape[1] == 1:
        return [Interval(float(mean), None) for mean in values[:, 0]]
    means, errors, freedom = moments(values, data)
    widths = stats.t.ppf((1 + confidence) / 2, freedom) * errors
    pairs = zip(means, widths, strict=True)
    return [_within(float(mean), float(width), bounds) for mean, width in pairs]


def _within(mean: float, width: float, bounds: Bounds) -> Interval:
    low, high = bounds
    if low is None or width == 0 or mean <= low or (high is not None and mean >= high):
        return Interval(mean, width)
    if high is None:
        factor = np.exp(width / (mean - low))
        limits = low + (mean - low) / factor, low + (mean - low) * factor
    else:
        share = (mean - low) / (high - low)
        step = width / (high - low) / (share * (1 - share))
        ends = expit(logit(share) + np.array([-step, step]))
        limits = low + (high - low) * ends[0], low + (high - low) * ends[1]
    return Interval(mean, float(limits[1] - limits[0]) / 2, (float(limits[0]), float(limits[1])))


# --- paired differences


@dataclass(frozen=True)
class Difference:
    """How much better one method is than another, paired over replicates; above 0 is better.

    ``p_value`` is that of the two-sided t-test, None with one replicate; ``adjusted`` is corrected
    by Holm for all methods that were compared; ``significant`` is decided by it.
    """

    interval: Interval
    p_value: float | None
    adjusted: float | None
    significant: bool

    @property
    def better(self) -> bool:
        """Whether the first method is significantly better."""
        return self.significant and self.interval.mean > 0

    @property
    def worse(self) -> bool:
        """Whether the first method is significantly worse."""
        return self.significant and self.interval.mean < 0


def differences(gains: Array, confidence: float, data: Resampled | None = None) -> list[Difference]:
    """Test the gains of several methods, (methods, replicates), each against its reference.

    A gain is the reference's cost less the method's. The intervals are those of single
    comparisons; the verdicts are corrected.
    """
    uncorrected = intervals(gains, confidence, data=data)
    if gains.shape[1] == 1:
        return [Difference(single, None, None, significant=False) for single in uncorrected]
    p_values = t_test(gains, data=data)
    reject, adjusted = holm(p_values, 1 - confidence)
    rows = zip(uncorrected, p_values, adjusted, reject, strict=True)
    return [Difference(i, float(p), float(a), bool(r)) for i, p, a, r in rows]


def not_worse_than_best(costs: Array, confidence: float, data: Resampled | None = None) -> Flags:
    """Return the methods that are not significantly different from the best mean, (methods,).

    The best is chosen on the same replicates, so its lead is optimistically biased (winner's
    curse), but the method that is truly best is among these with at least the confidence. With one
    replicate there is no test, and the best is alone.
    """
    best = int(np.argmin(costs.mean(axis=1)))
    if costs.shape[1] == 1:
        return np.arange(len(costs)) == best
    others = np.arange(len(costs)) != best
    alike = np.ones(len(costs), dtype=bool)
    if others.any():
        lags = costs[others] - costs[best]
        lags_of_data = None if data is None else data[others] - data[best]
        alike[others] = ~holm(t_test(lags, data=lags_of_data), 1 - confidence)[0]
    return alike


def t_test(
    gains: Array, mean: float = 0.0, side: Side = "two-sided", data: Resampled | None = None
) -> Array:
    """Return the p-value of the mean of the last axis; constant gains are certain."""
    means, errors, freedom = moments(gains, data)
    off, certain = means - mean, np.ptp(gains, axis=-1) == 0
    if data is not None:
        certain &= np.ptp(data.means, axis=-1) == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(certain, np.sign(off) * np.inf, off / errors)
    if side == "two-sided":
        return np.where(np.isnan(t), 1.0, 2 * stdtr(freedom, -np.abs(t)))
    return np.where(np.isnan(t), 1.0, stdtr(freedom, -t if side == "greater" else t))


def holm(p_values: Array, alpha: float) -> tuple[Flags, Array]:
    """Return which hypotheses Holm's method rejects, and the adjusted p-values, (hypotheses,).

    The function of statsmodels, which is the same, collects garbage at each call.
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return adjusted <= alpha, adjusted


def equivalent(
    gains: Array, confidence: float, margin: float, data: Resampled | None = None
) -> Flags:
    """Return whether the mean of the last axis lies within the margin, by two one-sided tests.

    One replicate shows nothing.
    """
    if gains.shape[-1] == 1:
        return np.zeros(gains.shape[:-1], dtype=bool)
    above = t_test(gains, -margin, "greater", data)
    below = t_test(gains, margin, "less", data)
    return np.maximum(above, below) < 1 - confidence


def ordering(gain: Array, confidence: float, margin: float | None) -> Verdict:
    """Return what the gains (blocks,) of the method reported as better say about that report.

    It is *equivalent* where the methods differ by less than the margin, which may be significantly
    more than 0; else it *holds* or is *reversed* where the gain is significant.
    """
    if len(gain) == 1:
        return "undecided"
    if margin is not None and equivalent(gain, confidence, margin):
        return "equivalent"
    if t_test(gain) >= 1 - confidence:
        return "undecided"
    return "holds" if gain.mean() > 0 else "reversed"


def resolvable(
    gains: Array,
    confidence: float,
    comparisons: int = 1,
    power: float = POWER,
    data: Resampled | None = None,
) -> float | None:
    """Return the smallest true difference that a paired t-test finds with the power.

    The standard error and the degrees of freedom are the medians over methods, of their gains,
    (methods, replicates). With several comparisons, the level is that of Bonferroni, which is
    Holm's for the first rejection. None with one replicate.
    """
    if gains.shape[1] == 1:
        return None
    _, errors, freedom = moments(gains, data)
    count, alpha = float(np.median(freedom)) + 1, (1 - confidence) / comparisons
    effect = TTestPower().solve_power(nobs=count, alpha=alpha, power=power)
    return float(np.median(errors)) * count**0.5 * float(np.squeeze(effect))


# --- ranks


@dataclass(frozen=True)
class Ranks:
    """The rank of each method, 1 the best: arrays (methods,), with an interval for each."""

    rank: Array
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    def __getitem__(self, order: Any) -> Ranks:
        """Return those of some of the methods."""
        return Ranks(self.rank[order], self.low[order], self.high[order])


def ranks(
    costs: Array,
    confidence: float,
    resamples: int = RESAMPLES,
    seed: int = 0,
    data: Resampled | None = None,
) -> Ranks | None:
    r"""Rank methods by their mean over blocks, (methods, blocks), and bound each true rank.

    Costs are ranks within a block, or means of such.
    The interval of method j is from one more than the number of methods that are significantly
    better to the number of those that are not significantly worse. The test statistics of all
    methods against j are compared with the quantile of their largest absolute value in bootstrap
    samples of blocks, so that the interval covers the true rank with at least the confidence, also
    where methods tie. The percentiles of resampled ranks do not: near ties shift them.
    With ``data``, each bootstrap sample of blocks comes with a draw of the data.
    None with one block.

    Source: Mogstad, Romano, Shaikh and Wilhelm, "Inference for Ranks with Applications to Mobility
    across Neighbourhoods and Academic Achievement across Countries", Review of Economic Studies
    91(1), 2024, 476-518.
    """
    methods, blocks = costs.shape
    if blocks == 1:
        return None
    if data is not None:
        resamples = data.means.shape[1]
    weights = np.random.default_rng(seed).multinomial(
        blocks, np.full(blocks, 1 / blocks), resamples
    )
    better, worse = np.zeros(methods, dtype=np.int64), np.zeros(methods, dtype=np.int64)
    for method in range(methods):
        others = np.arange(methods) != method
        gains = costs[others] - costs[method]
        drawn = None if data is None else data[others] - data[method]
        means, limit = gains.mean(axis=1), _limits(gains, weights.T / blocks, confidence, drawn)
        better[method] = (means < -limit).sum()
        worse[method] = (means > limit).sum()
    return Ranks(stats.rankdata(costs.mean(axis=1)), 1 + better, methods - worse)


def _limits(gains: Array, weights: Array, confidence: float, data: Resampled | None) -> Array:
    """Return what each mean of gains (methods, blocks) must exceed to be significant, (methods,).

    It is the quantile of the largest absolute bootstrap t, times the standard error. Some resamples
    of gains that hardly vary do not vary at all, and their t is infinite. If a sign test of all
    gains, corrected for their number, could be significant with that many blocks, gains vary at
    least as much as the rounding of two ranks does; else constant gains are never significant.
    """
    blocks = gains.shape[1]
    certain = len(gains) * 2.0 ** (1 - blocks) <= 1 - confidence
    least = ROUNDING if certain and data is None else 0.0
    centred = gains - gains.mean(axis=1, keepdims=True)
    off = centred @ weights
    variances = (np.maximum(np.square(centred) @ weights - np.square(off), 0) + least) / blocks
    error = (gains.var(axis=1) + least) / blocks
    if data is not None:
        of_data = data.means.var(axis=1)
        off = off + data.means - data.means.mean(axis=1, keepdims=True)
        variances, error = variances + of_data[:, None], error + of_data
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = np.where(off == 0, 0, np.abs(off) / np.sqrt(variances))
    largest = statistics.max(axis=0, initial=0)
    quantile = float(np.quantile(largest, confidence, method="higher"))
    limit = np.full(len(gains), 0.0 if certain else np.inf)
    return np.multiply(quantile, np.sqrt(error), limit, where=error > 0)


def friedman(costs: Array) -> float:
    """Return the p-value of equal ranks of all methods within blocks, (methods, blocks).

    It is 1 where all are equal in every block.
    """
    tied = bool((costs == costs[0]).all())
    return 1.0 if tied else float(stats.friedmanchisquare(*costs).pvalue)


def mean_ranks(costs: Array) -> Array:
    """Return the mean over blocks of the ranks within each, (methods,); ties share theirs."""
    return stats.rankdata(costs, axis=0).mean(axis=1)


def critical_difference(methods: int, blocks: int, confidence: float) -> float:
    """Return by how much two mean ranks must differ to be significantly different (Nemenyi)."""
    quantile = float(stats.studentized_range.ppf(confidence, methods, np.inf))
    return quantile * float(np.sqrt(methods * (methods + 1) / (12 * blocks)))
