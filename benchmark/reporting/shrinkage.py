"""Effects by setting, shrunken towards their mean by as much as noise explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from benchmark.reporting.metric import Array
from benchmark.reporting.statistics import Flags

SMALLEST = 1e-5  # of the median variance, below which none is taken to be
STEPS = 500  # of the iteration; it needs a few dozen


@dataclass(frozen=True)
class Effects:
    """Effects of one method by setting, shrunken towards their mean: arrays (settings,).

    ``mean`` weighs settings by how exactly they are measured, ``variance`` is that of true effects
    among settings, ``retained`` the share of a setting's deviation from the mean that is kept.
    """

    mean: float
    variance: float
    retained: Array
    effects: Array
    low: Array
    high: Array

    @property
    def above(self) -> Flags:
        """Where the whole interval is above 0."""
        return self.low > 0

    @property
    def below(self) -> Flags:
        """Where the whole interval is below 0."""
        return self.high < 0


def shrunken(gains: Array, confidence: float) -> Effects:
    r"""Estimate the effect in each setting from the gains, (settings, replicates).

    The mixed model is :math:`y_{sr} = \mu + u_s + \varepsilon_{sr}` with normal :math:`u_s`, and
    normal :math:`\varepsilon_{sr}` whose variance may differ between settings. The variance of
    :math:`u_s` is the estimate of Morris by moments, which with equal noise is that of restricted
    maximum likelihood. Shrinkage is corrected for its estimation, and the intervals allow for it
    (Morris, "Parametric Empirical Bayes Inference", JASA 78(381), 1983, 47-55, section 5).

    Raises:
        ValueError: there are fewer than four settings or fewer than two replicates.
    """
    settings, replicates = gains.shape
    if settings < 4 or replicates < 2:
        raise ValueError(f"{settings} settings of {replicates} replicates; it takes 4 of 2")
    means = gains.mean(axis=1)
    noise, freedom = moderated(gains.var(axis=1, ddof=1), replicates - 1)
    noise = noise / replicates
    variance, weights = _among(means, noise)
    mean = float(np.average(means, weights=weights))
    shrunk = (settings - 3) / (settings - 1) * noise * weights
    spread = noise * (1 - (1 - weights / weights.sum()) * shrunk) + (
        2 / (settings - 3) * shrunk**2 * np.square(means - mean)
        * weights * (np.average(noise, weights=weights) + variance)
    )  # fmt: skip
    effects = means - shrunk * (means - mean)
    width = stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(spread)
    return Effects(mean, variance, 1 - shrunk, effects, effects - width, effects + width)


def _among(means: Array, noise: Array) -> tuple[float, Array]:
    """Return the variance of true means, and the weights 1 / (noise + variance), (settings,).

    Noise (settings,) is the variance of each mean about its true one.
    """
    settings, variance = len(means), float(means.var(ddof=1))
    least = SMALLEST * (float(noise.mean()) + variance) or 1.0
    for _ in range(STEPS):
        weights = 1 / np.maximum(noise + variance, least)
        squares = np.square(means - np.average(means, weights=weights))
        found = np.average(settings / (settings - 1) * squares - noise, weights=weights)
        previous, variance = variance, max(0.0, float(found))
        if abs(variance - previous) <= 1e-9 * least:
            break
    return variance, 1 / np.maximum(noise + variance, least)


def moderated(variances: Array, freedom: int) -> tuple[Array, float]:
    """Return better estimates of each of several variances, and the degrees of freedom of each.

    Each is drawn to a common one, as if that had been seen in so many observations as make the
    spread of their logarithms likely. Where they spread no more than chance does, that is their
    mean (Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression in
    Microarray Experiments", SAGMB 3(1), 2004, section 6.2).
    """
    count, median = len(variances), float(np.median(variances))
    pooled = np.full(count, variances.mean()), float(count * freedom)
    if median == 0:
        return pooled
    own = np.log(np.maximum(variances, SMALLEST * median))
    own -= special.digamma(freedom / 2) - np.log(freedom / 2)
    excess = own.var(ddof=1) - special.polygamma(1, freedom / 2)
    if excess <= 0:
        return pooled
    log_half = optimize.brentq(lambda x: special.polygamma(1, np.exp(x)) - excess, -20, 20)
    half = float(np.exp(log_half))
    common = np.exp(own.mean() + special.digamma(half) - log_half)
    total = 2 * half + freedom
    return (2 * half * common + freedom * variances) / total, min(total, pooled[1])
