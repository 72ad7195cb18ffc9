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
    r"""Return :math:`\sum e(r, \hat r) / p` over :math:`\sum 1 / p`, both over clicks.

    Raises:
        UndefinedError: there are no propensities.
    """
    if propensity is None:
        raise UndefinedError(NO_ESTIMATES)
    return float(np.average(cross_entropy(conversion, cvr), weights=1 / propensity))


def dr_log_loss(
    conversion: Array, cvr: Array, propensity: Array | None, imputed: Array | None
) -> float:
    r"""Return the mean of :math:`e(q, \hat r) + o (e(r, \hat r) - e(q, \hat r)) / p`.

    The mean is over impressions; ``conversion`` is NaN where there was no click. As e is linear in
    the label, this is the log loss of the labels :math:`q + o (r - q) / p`. Unbiased for the mean
    of :math:`e(r, \hat r)`, clicked or not, if all p or all q are right.

    Raises:
        UndefinedError: there are no propensities.
    """
    if propensity is None or imputed is None:
        raise UndefinedError(NO_ESTIMATES)
    residual = np.where(np.isnan(conversion), 0.0, conversion - imputed)
    return float(cross_entropy(imputed + residual / propensity, cvr).mean())
