"""What selection does to a CVR prediction: its bias, where it lies, what clicks still tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from benchmark.metrics.calibration import tenths
from benchmark.metrics.ordering import Array, Integers, sums
from benchmark.metrics.undefined import UndefinedError

STRATA = 20


def estimation_bias(conversion: Array, cvr: Array) -> float:
    r"""Return ESCM²'s inherent estimation bias, :math:`\mathrm{mean}_D \hat r - \sum r / \sum o`.

    The first mean is over all impressions, the second over clicks, whose conversions are known;
    the others are NaN. Only if clicks were drawn at random should it be 0: where those who click
    convert more than others would, a correct prediction has a negative one.

    Raises:
        UndefinedError: no conversion is known.
    """
    known = ~np.isnan(conversion)
    if not known.any():
        raise UndefinedError("no click has a known conversion")
    return float(cvr.mean() - conversion[known].mean())


@dataclass(frozen=True)
class Independence:
    """A partial correlation and the two-sided probability of one at least as far from 0."""

    correlation: float
    p_value: float


def independence(conversion: Array, cvr: Array, ctr: Array | None) -> Independence:
    r"""Test on clicks whether the click propensity tells more of conversions than the CVR does.

    The residual :math:`r - \hat r` is correlated with the logit of :math:`\hat o`, both centred
    within twenty strata of :math:`\hat r`. Above 0, conversions are underrated where clicks are
    likely. The p-value is of a normal approximation that allows for unequal variances.

    Differs from the paper: ESCM² checks its potential independence priority by a causal risk
    ratio of clicks on conversions after propensity-score matching, which takes labels of rows
    without a click; this takes clicks alone, so it finds dependence within them only.

    Raises:
        UndefinedError: there is no prediction of the CTR, or either part does not vary.
    """
    if ctr is None:
        raise UndefinedError("the method predicts no CTR")
    clipped = np.clip(ctr, 1e-7, 1 - 1e-7)
    strata = np.searchsorted(np.quantile(cvr, np.arange(1, STRATA) / STRATA), cvr, "right")
    logit = _centred(np.log(clipped / (1 - clipped)), strata)
    residual = _centred(conversion - cvr, strata)
    products = logit * residual
    if np.abs(logit).max() < 1e-6 or not products.any():
        raise UndefinedError("CTR or CVR does not vary within strata of the predicted CVR")
    norms = np.sqrt(np.square(logit).sum() * np.square(residual).sum())
    z = products.sum() / np.sqrt(np.square(products).sum())
    return Independence(float(products.sum() / norms), float(2 * ndtr(-abs(z))))


def _centred(values: Array, strata: Integers) -> Array:
    sizes = np.maximum(np.bincount(strata), 1)
    return values - (sums(strata, values, len(sizes)) / sizes)[strata]


def ctr_deciles(truth: Array, cvr: Array, ctr: Array) -> list[tuple[float, ...]]:
    """Return (rows, mean CTR, mean predicted CVR, mean true CVR) of tenths of the rows, by CTR."""
    return tenths(ctr, cvr, truth)


def ctr_bias(truth: Array, cvr: Array, ctr: Array | None) -> float:
    """Return the largest absolute bias of the CVR in a tenth of the rows, by CTR.

    Raises:
        UndefinedError: the CTR is neither known nor predicted.
    """
    if ctr is None:
        raise UndefinedError("the CTR is neither known nor predicted")
    return max(abs(mean - true) for _, _, mean, true in ctr_deciles(truth, cvr, ctr))
