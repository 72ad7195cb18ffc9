r"""Log loss over all impressions, estimated from clicks: for choosing among models, not training.

With click o, conversion r, prediction r̂, cross entropy e, and estimates of the propensity p and of
the CVR q. Both estimates are taken as they are: whoever makes them keeps p away from 0.

Sources: https://papers.nips.cc/paper/2015/hash/39027dfad5138c9ca0c474d71db915c3-Abstract.html
(self-normalisation); https://proceedings.mlr.press/v97/wang19n.html (doubly robust risk).
"""

from __future__ import annotations

import numpy as np

from benchmark.metrics.calibration import cross_entropy
from benchmark.metrics.ordering import Array
from benchmark.metrics.undefined import UndefinedError

NO_ESTIMATES = "propensities are estimated for the validation split alone, where selection needs it"


def snips_log_loss(conversion: Array, cvr: Array, propensity: Array | None) -> float:
    r"""Return the log loss over all impressions, estimated by self-normalised inverse propensities.

    .. math:: \sum_{o = 1} \frac{e(r, \hat r)}{p} \Big/ \sum_{o = 1} \frac{1}{p}

    The symbols are click o, conversion r, prediction :math:`\hat r`, cross-entropy e and a fitted
    propensity p.

    Raises:
        UndefinedError: there are no propensities.
    """
    if propensity is None:
        raise UndefinedError(NO_ESTIMATES)
    return float(np.average(cross_entropy(conversion, cvr), weights=1 / propensity))


def dr_log_loss(
    conversion: Array, cvr: Array, propensity: Array | None, imputed: Array | None
) -> float:
    r"""Return the log loss over all impressions, estimated doubly robustly.

    .. math:: \frac{1}{n} \sum \left( e(q, \hat r)
              + \frac{o}{p} \left( e(r, \hat r) - e(q, \hat r) \right) \right)

    The symbols are click o, conversion r, prediction :math:`\hat r`, cross-entropy e, a fitted
    propensity p and a fitted CVR q. The sum is over impressions; ``conversion`` is NaN where there
    was no click. As e is linear in the label, this is the log loss of the labels
    :math:`q + o (r - q) / p`. It is unbiased for the mean of :math:`e(r, \hat r)` over all
    impressions if all p or all q are correct.

    Raises:
        UndefinedError: there are no propensities.
    """
    if propensity is None or imputed is None:
        raise UndefinedError(NO_ESTIMATES)
    residual = np.where(np.isnan(conversion), 0.0, conversion - imputed)
    return float(cross_entropy(imputed + residual / propensity, cvr).mean())
