from benchmark.training.modules.doubly_robust import DoublyRobust


class DRJL(DoublyRobust):
    r"""DR-JL learns a prediction and an imputation of its errors in turn by doubly robust risks.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, pseudo-label
    :math:`\tilde r`, frozen propensity :math:`p` with a floor, :math:`u = o / p`, the cross
    entropy :math:`e = e(r, \hat r)` as error, imputed error :math:`\hat e = e(\tilde r, \hat r)`
    and means over all impressions, two networks descend in turn

    .. math:: L_r = \mathrm{mean}(\hat e + u (e - \hat e)), \quad
              L_e = \mathrm{mean}(u (e - \hat e)^2)

    The risk :math:`L_r` is unbiased for the CVR loss over all impressions if the propensities or
    the imputed errors are right.

    Evidence: we read both losses in public code of later authors.

    Differs from the paper: impressions play the part of all user-item pairs, cross entropy replaces
    the squared error, and neural networks replace matrix factorisation. Steps alternate by batch.
    That code does not weigh :math:`\hat e` of clicks by :math:`1 / p`, so that its risk is not
    doubly robust, and imputes by :math:`e` with its arguments swapped, which is not the error that
    the risk uses; here both losses use the same. Propensities may be calibrated.

    Origin of the defaults: ``propensity_floor``, 0.05, is that of the public code's three runs; 0.1
    is its function's own default. ``propensity_epochs`` is ours. ``calibrate`` is off, as in the
    paper.
    """

    name = "DR-JL"
    cite = "wang2019doubly"
