from benchmark.method import Batch, Tensor, losses, tuned
from benchmark.training.modules.imputation import ImputingTowers


class ESCM2DR(ImputingTowers):
    r"""ESCM²-DR adds a doubly robust CVR risk with imputed labels to the losses of ESMM.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, floor
    :math:`\tau`, weight :math:`u = o / \max(\hat o, \tau)` without gradient, cross entropy
    :math:`e`, error :math:`\delta = e(r, \hat r)`, imputed label :math:`\tilde r` of a third
    tower and its error :math:`\hat\delta = e(\tilde r, \hat r)`, and means over all impressions,
    the loss is

    .. math:: L = \mathrm{mean}\, e(o, \hat o) + \lambda_c \, \mathrm{mean}(\hat\delta
              + u (\delta - \hat\delta) + u (\delta - \hat\delta)^2)
              + \lambda_g \, \mathrm{mean}\, e(or, \hat o \hat r)

    The imputed label is a constant in the first two terms of the risk, and the CVR is one in the
    third, or the risk could be lowered by imputing badly. The risk is unbiased if the propensities
    or the imputed errors are right.

    Evidence: several secondary sources agree on the losses, the floor of 0.1 and the stopped
    gradient of the propensity.

    Differs from the paper: it imputes the error itself, a positive number, as ``imputes="error"``
    does. As a constant, that gives the CVR tower the gradient of ESCM²-IPS exactly: it acts through
    the shared encoder only and is no evidence on doubly robust learning. Without stopping the
    gradient, as in PaddleRec's implementation, the risk rewards imputing badly. We impute a label
    by default, as the authors of DR-V2 do in their code of this method, so that the risk teaches
    the CVR on unclicked impressions too. That code stops no gradient, and fits its imputation to
    all impressions, those without a click as not converted. Parallel towers replace the mixture of
    experts, one joint update replaces alternate ones, and the floor and both weights are tuned.

    Origin of the defaults: ``propensity_floor`` is the paper's 0.1. Sources disagree on
    ``cvr_weight``, :math:`\lambda_c`, and ``ctcvr_weight``, :math:`\lambda_g`: we take the 0.1 and
    1 of MMLRec's implementation, while PaddleRec's configurations use 0.01 and 1, or 0.5 and 0.5,
    and the code that imputes labels uses 1 and 1. A later comparison, in the code of DT-DR, has a
    floor of 0.01 or 0.05. ``imputes`` is that of the code that imputes labels.
    """

    name = "ESCM²-DR"
    cite = "wang2022escm2"

    cvr_weight: float = tuned(0.1, low=0.01, high=10)
    ctcvr_weight: float = tuned(1.0, low=0.1, high=10)
    propensity_floor: float = tuned(0.1, low=0.01, high=0.2)

    def loss(self, batch: Batch) -> Tensor:
        prediction, cvr_loss = self.risk(batch, self.propensity_floor)
        ctcvr = self.ctcvr_weight * losses.ctcvr_loss(prediction, batch)
        return losses.ctr_loss(prediction, batch) + self.cvr_weight * cvr_loss + ctcvr
