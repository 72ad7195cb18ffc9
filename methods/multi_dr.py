from benchmark.method import Batch, Tensor, losses, tuned
from benchmark.training.modules.imputation import ImputingTowers


class MultiDR(ImputingTowers):
    r"""Multi-DR imputes labels everywhere and corrects their errors on clicks.

    With click :math:`o`, predictions :math:`\hat o, \hat r`, cross entropy :math:`e`, error
    :math:`\delta = e(r, \hat r)`, imputed label :math:`\tilde r` of a third tower and its error
    :math:`\hat\delta = e(\tilde r, \hat r)`, floor :math:`\tau`, weight
    :math:`u = o / \max(\hat o, \tau)` without gradient, and means over all impressions, the loss is

    .. math:: L = \mathrm{mean}\, e(o, \hat o) + w \, \mathrm{mean}(\hat\delta
              + u (\delta - \hat\delta)) + w \, \mathrm{mean}(u (\delta - \hat\delta)^2)

    The imputed label is a constant in the middle term, and the CVR is one in the last. The middle
    term is unbiased for the CVR loss over all impressions if the propensities or the imputed
    errors are right.

    Evidence: a later paper that we read restates the doubly robust term with its number.

    Differs from the paper: it imputes the error itself, a positive number, as ``imputes="error"``
    does. As a constant, that gives the CVR tower the gradient of Multi-IPW exactly: it acts through
    the shared encoder only and is no evidence on doubly robust learning. We impute a label by
    default, as the authors of DR-V2 do in their code of this method, so that the middle term
    teaches the CVR on unclicked impressions too. In that code the imputation learns from the risk
    itself, the imputed label is a residual on the logit of the prediction, and the correction is
    multiplied by :math:`p`; ours has the loss that ESCM² adds for it, a label of its own, and
    :math:`1 / p`. Propensities have a floor, and the floor and :math:`w` are tuned.

    Origin of the defaults: ``cvr_weight`` is 1 in the paper. ``propensity_floor``, 0.05, is that of
    a later comparison, in the code of DT-DR, on all data sets; the paper's is not known to us.
    ``imputes`` is the later code's.
    """

    name = "Multi-DR"
    cite = "zhang2020large"

    cvr_weight: float = tuned(1.0, low=0.1, high=10)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def loss(self, batch: Batch) -> Tensor:
        prediction, cvr_loss = self.risk(batch, self.propensity_floor)
        return losses.ctr_loss(prediction, batch) + self.cvr_weight * cvr_loss
