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


class DCMT(Method):
    r"""DCMT learns the CVR on clicks and its opposite on the rest, and ties the two.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, counterfactual
    CVR :math:`\hat r^*`, :math:`p = \max(\hat o, \tau)` and :math:`q = \max(1 - \hat o, \tau)`
    without gradient, and cross entropy :math:`e`, the loss is the mean over all impressions of

    .. math:: e(o, \hat o) + w (\frac{o}{p} e(r, \hat r) + \frac{1 - o}{q} e(1, \hat r^*)
              + \lambda |1 - \hat r - \hat r^*|) + e(or, \hat o \hat r)

    The counterfactual label of an unclicked impression is the constant 1. It draws
    :math:`\hat r^*` to 1, and the prior :math:`\hat r + \hat r^* = 1` then pulls :math:`\hat r`
    to 0.

    Evidence: we read the objective in later papers and in two public implementations.

    Differs from the paper: there is no wide part, and the floor and the weights are tuned. The
    paper may normalise the propensity weights by their sum, which we could not verify.

    Origin of the defaults: ``cvr_weight``, 1, and ``prior_weight``, :math:`\lambda = 0.001`, are
    those of both implementations, and ``propensity_floor``, 0.05, is that of one of them.
    """

    name = "DCMT"
    cite = "zhu2023dcmt"
    requires = frozenset({"impression", "click"})

    cvr_weight: float = tuned(1.0, low=0.1, high=10)
    prior_weight: float = tuned(1e-3, low=1e-4, high=0.1)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def build(self, blueprint: Blueprint) -> None:
        self.ctr_tower = blueprint.towers(1, self.backbone.width)
        self.twin_tower = blueprint.shared_tower(2, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        encoding = self.backbone(features)
        logits = (*self.ctr_tower(encoding), *self.twin_tower(encoding).unbind(1))
        ctr, cvr, opposite = map(Probability.from_logit, logits)
        return Prediction(ctr=ctr, cvr=cvr, counterfactual_cvr=opposite)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        factual = losses.ips_loss(prediction, batch, self.propensity_floor)
        opposite = counterfactual_loss(prediction, batch, self.propensity_floor)
        prior = self.prior_weight * counterfactual_gap(prediction)
        entire_space = losses.ctr_loss(prediction, batch) + losses.ctcvr_loss(prediction, batch)
        return entire_space + self.cvr_weight * (factual + opposite + prior)


def counterfactual_loss(prediction: Prediction, batch: Batch, floor: float) -> Tensor:
    """Return the mean of (1 - o) · e(1, r̂*) / (1 - ô) over impressions."""
    assert prediction.counterfactual_cvr is not None
    weights = losses.no_click_weights(prediction, batch, floor)
    return -(weights * prediction.counterfactual_cvr.log).mean()


def counterfactual_gap(prediction: Prediction) -> Tensor:
    r"""Return the mean of :math:`|1 - \hat r - \hat r^*|` over impressions."""
    assert prediction.counterfactual_cvr is not None
    return (prediction.cvr.log_not.exp() - prediction.counterfactual_cvr.value()).abs().mean()
