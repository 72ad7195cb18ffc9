from benchmark.method import Tensor, tuned
from benchmark.training.modules.doubly_robust import DoublyRobust


class DRMSE(DoublyRobust):
    r"""DR-MSE is doubly robust learning whose imputation trades the risk's bias for its variance.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, pseudo-label
    :math:`\tilde r`, frozen propensity :math:`p` with a floor, :math:`u = o / p`, error
    :math:`e = e(r, \hat r)`, imputed error :math:`\hat e = e(\tilde r, \hat r)` and means over all
    impressions, two networks descend in turn

    .. math:: L_r = \mathrm{mean}(\hat e + u (e - \hat e)), \quad
              L_e = \mathrm{mean}((\lambda u (u - 1)^2 + (1 - \lambda) u (u - 1)) (e - \hat e)^2)

    The weight mixes that of DR-BIAS, against bias, and that of MRDR, against variance. The risk is
    unbiased if the propensities or the imputed errors are right.

    Evidence: we read the weight and :math:`\lambda` in code of the paper's authors for a later
    paper.

    Differs from the paper: :math:`\lambda` is a tuned constant, as in that code, where the paper
    learns it in a third level. Neural networks replace matrix factorisation, and propensities are
    learned, have a floor and may be calibrated, where that code counts them with the help of random
    ratings. It does not weigh :math:`\hat e` of clicks by :math:`1 / p`, so that its risk is not
    doubly robust, and its imputation swaps the arguments of :math:`\hat e`; here both losses use
    the same.

    Origin of the defaults: ``bias_weight``, :math:`\lambda`, is 0.5 in that code's runs on Coat and
    Yahoo! R3; that on KuaiRec has 0.25, and the function's own default is 1. ``propensity_floor``
    and ``propensity_epochs`` are those of our DR-JL. ``calibrate`` is off, as in the paper.
    """

    name = "DR-MSE"
    cite = "dai2022generalized"

    bias_weight: float = tuned(0.5, low=0, high=1, log=False)

    def imputation_weights(self, inverse: Tensor) -> Tensor:
        variance, bias = inverse * (inverse - 1), inverse * (inverse - 1).square()
        return self.bias_weight * bias + (1 - self.bias_weight) * variance
