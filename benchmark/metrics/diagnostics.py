"""What selection does to a CVR prediction: its bias by CTR, and its dependence on clicks."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.calibration import tenths
from benchmark.metrics.ordering import Array, Integers, Order, sums
from benchmark.metrics.undefined import UndefinedError

STRATA = 20


def independence(conversion: Array, cvr: Array, ctr: Array | None) -> float:
    r"""Return how far clicks' conversions depend on the predicted CTR, given the predicted CVR.

    .. math:: \mathrm{corr}(r - \hat r, \, \mathrm{logit} \, \hat o)

    It is the correlation of the residual :math:`r - \hat r` with the logit of :math:`\hat o`, both
    centred within twenty strata of :math:`\hat r`. Above 0, conversions are underrated where clicks
    are likely.

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
    return float(products.sum() / norms)


def _centred(values: Array, strata: Integers) -> Array:
    sizes = np.maximum(np.bincount(strata), 1)
    return values - (sums(strata, values, len(sizes)) / sizes)[strata]


def ctr_deciles(truth: Array, cvr: Array, ctr: Array) -> list[tuple[float, ...]]:
    """Return (rows, mean CTR, mean predicted CVR, mean true CVR) of tenths of the rows, by CTR."""
    return tenths(Order.of(ctr), cvr, truth)


def ctr_bias(truth: Array, cvr: Array, ctr: Array | None) -> float:
    r"""Return the largest absolute bias of the CVR in a tenth of the rows, by CTR.

    .. math:: \max_b |\bar s_b - \bar p_b|

    The bins b are deciles of the true CTR where that is known, else of the predicted CTR.

    Raises:
        UndefinedError: the CTR is neither known nor predicted.
    """
    if ctr is None:
        raise UndefinedError("the CTR is neither known nor predicted")
    return max(abs(mean - true) for _, _, mean, true in ctr_deciles(truth, cvr, ctr))
