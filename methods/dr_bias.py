"""DR-BIAS: doubly robust learning whose imputation controls the bias of the risk."""

from __future__ import annotations

from torch import Tensor

from benchmark.training.modules.doubly_robust import DoublyRobust


class DRBias(DoublyRobust):
    r"""Weight imputation by how far each click's error may bias the doubly robust risk.

    With click o, conversion r, prediction :math:`\hat r`, pseudo-label :math:`\tilde r`, frozen
    propensity p with floor, :math:`u = o / p`, :math:`e = e(r, \hat r)`, :math:`\hat e =
    e(\tilde r, \hat r)` and means over all impressions, two networks descend in turn

    .. math:: L_r = \mathrm{mean}(\hat e + u (e - \hat e)), \quad
              L_e = \mathrm{mean}(u \frac{(o - p)^2}{p^2} (e - \hat e)^2)

    On a click the weight is :math:`(1 - p)^2 / p^3`, the steepest of this family as p falls.

    Evidence: both losses read in code of the paper's authors for a later paper.

    Differs from the paper: neural networks stand for matrix factorisation; p has a floor, and
    calibrating it is an option, off by default. That code's imputation swaps the arguments of
    :math:`\hat e`; here both losses use the same.
    """

    name = "DR-BIAS"
    citation = """
    @inproceedings{dai2022generalized,
      title     = {A Generalized Doubly Robust Learning Framework for Debiasing Post-Click
                   Conversion Rate Prediction},
      author    = {Dai, Quanyu and Li, Haoxuan and Wu, Peng and Dong, Zhenhua and Zhou, Xiao-Hua
                   and Zhang, Rui and Zhang, Rui and Sun, Jie},
      booktitle = {KDD},
      year      = {2022},
      doi       = {10.1145/3534678.3539270},
    }
    """

    def imputation_weights(self, inverse: Tensor) -> Tensor:
        return inverse * (inverse - 1).square()
