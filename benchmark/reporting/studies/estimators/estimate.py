r"""Estimators of the mean cross-entropy of predictions over all impressions, from clicks alone.

With click o, conversion r, prediction :math:`\hat r`, cross-entropy e and propensity
:math:`\hat p`, of n impressions. The imputed label q of the doubly robust estimators is one number,
fitted to the clicks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.calibration import cross_entropy

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Clicks:
    """The clicks of n impressions: conversion, prediction and propensity, (clicks,) each.

    ``imputed`` has the mean cross-entropy over all n of the label 0 and of the label 1.
    """

    conversion: Array
    predicted: Array
    propensity: Array
    impressions: int
    imputed: tuple[float, float]

    @property
    def error(self) -> Array:
        """The cross-entropy of each click."""
        return cross_entropy(self.conversion, self.predicted)

    def all_labelled(self, q: float) -> float:
        """Return the mean cross-entropy over all impressions, had each the label q."""
        none, one = self.imputed
        return (1 - q) * none + q * one


def unweighted(clicks: Clicks) -> float:
    r"""Return :math:`\sum_o e(r, \hat r) / \sum o`."""
    return float(clicks.error.mean())


def ips(clicks: Clicks) -> float:
    r"""Return :math:`\frac{1}{n} \sum_o e(r, \hat r) / \hat p`."""
    return float((clicks.error / clicks.propensity).sum() / clicks.impressions)


def snips(clicks: Clicks) -> float:
    r"""Return :math:`\sum_o \frac{e(r, \hat r)}{\hat p} / \sum_o \frac{1}{\hat p}`."""
    return float(np.average(clicks.error, weights=1 / clicks.propensity))


def eib(clicks: Clicks) -> float:
    r"""Return :math:`\frac{1}{n} \sum (o \, e(r, \hat r) + (1 - o) \, e(q, \hat r))`.

    The imputed label q is the mean of the clicks' conversions.
    """
    q = float(clicks.conversion.mean())
    gap = clicks.error - cross_entropy(np.full(len(clicks.error), q), clicks.predicted)
    return clicks.all_labelled(q) + float(gap.sum() / clicks.impressions)


def dr(clicks: Clicks) -> float:
    r"""Return the doubly robust estimate.

    .. math:: \frac{1}{n} \sum
              \left( e(q, \hat r) + o \frac{e(r, \hat r) - e(q, \hat r)}{\hat p} \right)

    q minimises :math:`\sum_o (e(r, \hat r) - e(q, \hat r))^2 / \hat p`, as in DR-JL.
    """
    return _doubly_robust(clicks, 1 / clicks.propensity)


def more_robust(clicks: Clicks) -> float:
    r"""Return the same with q that minimises the estimated variance.

    .. math:: \sum_o \frac{1 - \hat p}{\hat p^2} (e(r, \hat r) - e(q, \hat r))^2
    """
    return _doubly_robust(clicks, (1 - clicks.propensity) / clicks.propensity**2)


ESTIMATORS = {
    "Naive": unweighted,
    "EIB": eib,
    "IPS": ips,
    "SNIPS": snips,
    "DR": dr,
    "MRDR": more_robust,
}


def _doubly_robust(clicks: Clicks, weights: Array) -> float:
    r"""Return the estimate whose q is fitted with weights.

    As e is linear in the label, :math:`e(r) - e(q) = (q - r) \operatorname{logit} \hat r`.
    """
    slope = np.square(np.log(clicks.predicted) - np.log1p(-clicks.predicted))
    total = (weights * slope).sum()
    q = float((weights * slope * clicks.conversion).sum() / total) if total else 0.5
    gap = clicks.error - cross_entropy(np.full(len(clicks.error), q), clicks.predicted)
    return clicks.all_labelled(q) + float((gap / clicks.propensity).sum() / clicks.impressions)
