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


class MultiDR(Method):
    r"""Multi-DR imputes the CVR error everywhere and corrects it on clicks.

    With click :math:`o`, predictions :math:`\hat o, \hat r`, cross entropy :math:`e`, error
    :math:`\delta = e(r, \hat r)`, imputed error :math:`\hat\delta > 0` of a third tower, floor
    :math:`\tau`, weight :math:`u = o / \max(\hat o, \tau)` without gradient, and means over all
    impressions, the loss is

    .. math:: L = \mathrm{mean}\, e(o, \hat o) + w \, \mathrm{mean}(\hat\delta
              + u (\delta - \hat\delta)) + w \, \mathrm{mean}(u (\delta - \hat\delta)^2)

    The imputed error is a constant in the middle term, and the error is one in the last. The
    value of the middle term is unbiased for the CVR loss over all impressions if the
    propensities or the imputed errors are right.

    Evidence: a later paper that we read restates the doubly robust term with its number.

    Differs from the paper: with the imputed error as a constant, the gradient of the CVR tower
    equals that of Multi-IPW exactly, and the imputation acts through the shared encoder only.
    This row is therefore no evidence on doubly robust learning. The loss of the imputation is
    that of ESCM², propensities have a floor, and the floor and :math:`w` are tuned.

    Origin of the defaults: ``cvr_weight`` is 1 in the paper. ``propensity_floor`` is ours, as our
    sources name no floor.
    """

    name = "Multi-DR"
    cite = "zhang2020large"
    requires = frozenset({"impression", "click"})

    cvr_weight: float = tuned(1.0, low=0.1, high=10)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

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
        return losses.ctr_loss(prediction, batch) + self.cvr_weight * cvr_loss
