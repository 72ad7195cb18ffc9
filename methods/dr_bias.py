from benchmark.method import Tensor
from benchmark.training.modules.doubly_robust import DoublyRobust


class DRBias(DoublyRobust):
    r"""DR-BIAS is doubly robust learning whose imputation controls the bias of the risk.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, pseudo-label
    :math:`\tilde r`, frozen propensity :math:`p` with a floor, :math:`u = o / p`, error
    :math:`e = e(r, \hat r)`, imputed error :math:`\hat e = e(\tilde r, \hat r)` and means over all
    impressions, two networks descend in turn

    .. math:: L_r = \mathrm{mean}(\hat e + u (e - \hat e)), \quad
              L_e = \mathrm{mean}(u \frac{(o - p)^2}{p^2} (e - \hat e)^2)

    The weight of a click in :math:`L_e` is :math:`(1 - p)^2 / p^3`, the steepest of this family as
    :math:`p` falls. The risk is unbiased if the propensities or the imputed errors are right.

    Evidence: we read both losses in code of the paper's authors for a later paper.

    Differs from the paper: neural networks replace matrix factorisation, and propensities are
    learned, have a floor and may be calibrated, where that code counts them with the help of random
    ratings. It does not weigh :math:`\hat e` of clicks by :math:`1 / p`, so that its risk is not
    doubly robust, and its imputation swaps the arguments of :math:`\hat e`; here both losses use
    the same.

    Origin of the defaults: ``propensity_floor`` and ``propensity_epochs`` are those of our DR-JL.
    ``calibrate`` is off, as in the paper.
    """

    name = "DR-BIAS"
    cite = "dai2022generalized"

    def imputation_weights(self, inverse: Tensor) -> Tensor:
        return inverse * (inverse - 1).square()
