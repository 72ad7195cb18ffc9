from torch.nn.functional import softplus

from benchmark.method import (
    Batch,
    Blueprint,
    Features,
    Method,
    Prediction,
    Probability,
    Tensor,
    losses,
    tuned,
)


class ESCM2DR(Method):
    r"""ESCM²-DR adds a doubly robust CVR risk with an imputed error to the losses of ESMM.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, floor
    :math:`\tau`, weight :math:`u = o / \max(\hat o, \tau)` without gradient, cross entropy
    :math:`e`, error :math:`\delta = e(r, \hat r)`, imputed error :math:`\hat\delta > 0` of a
    third tower, and means over all impressions, the loss is

    .. math:: L = \mathrm{mean}\, e(o, \hat o) + \lambda_c \, \mathrm{mean}(\hat\delta
              + u (\delta - \hat\delta) + u (\delta - \hat\delta)^2)
              + \lambda_g \, \mathrm{mean}\, e(or, \hat o \hat r)

    The imputed error is a constant in the first two terms of the risk, and the error is one in
    the third, or the risk could be lowered by imputing badly. The value of the risk is unbiased
    if the propensities or the imputed errors are right.

    Evidence: several secondary sources agree on the losses, the floor of 0.1 and the stopped
    gradient of the propensity.

    Differs from the paper: with the imputed error as a constant, the gradient of the CVR tower
    equals that of ESCM²-IPS exactly, and the imputation acts through the shared encoder only.
    This row is therefore no evidence on doubly robust learning. PaddleRec's implementation stops
    no gradient between the two. Parallel towers replace the mixture of experts, one joint update
    replaces alternate ones, and the floor and both weights are tuned.

    Origin of the defaults: ``propensity_floor`` is the paper's 0.1. Sources disagree on
    ``cvr_weight`` and ``ctcvr_weight``: our 0.1 and 1 are those of MMLRec's implementation, while
    PaddleRec's configurations use 0.01 and 1, or 0.5 and 0.5.
    """

    name = "ESCM²-DR"
    cite = "wang2022escm2"
    requires = frozenset({"impression", "click"})

    cvr_weight: float = tuned(0.1, low=0.01, high=10)
    ctcvr_weight: float = tuned(1.0, low=0.1, high=10)
    propensity_floor: float = tuned(0.1, low=0.01, high=0.2)

    def build(self, blueprint: Blueprint) -> None:
        self.towers = blueprint.towers(3, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        ctr, cvr, error = self.towers(self.backbone(features))
        from_logit = Probability.from_logit
        return Prediction(ctr=from_logit(ctr), cvr=from_logit(cvr), imputed_error=softplus(error))

    def loss(self, batch: Batch) -> Tensor:
        prediction, floor = self(batch.features), self.propensity_floor
        risk = losses.dr_loss(prediction, batch, floor)
        cvr_loss = risk + losses.imputation_loss(prediction, batch, floor)
        ctcvr = self.ctcvr_weight * losses.ctcvr_loss(prediction, batch)
        return losses.ctr_loss(prediction, batch) + self.cvr_weight * cvr_loss + ctcvr
