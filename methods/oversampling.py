import math

from benchmark.method import (
    Batch,
    Blueprint,
    Features,
    Method,
    Prediction,
    Probability,
    Tensor,
    tuned,
)


class Oversampling(Method):
    r"""DNN-OS counts each conversion several times and corrects the prediction for it.

    With the clicked rows :math:`O`, conversion :math:`r`, weight :math:`v = 1 + (k - 1) r`,
    prediction :math:`\hat r'` for the inflated rows and cross entropy :math:`e`, it minimises

    .. math:: L = \frac{\sum_O v \, e(r, \hat r')}{\sum_O v}, \quad
              \hat r = \frac{\hat r'}{\hat r' + (1 - \hat r') k}

    The weight has the effect of :math:`k` copies of each conversion. The correction, a shift of
    the logit by :math:`\log k`, inverts the inflation exactly. The method is therefore as
    calibrated as the naive one and as biased by selection: it treats rarity, not bias. It
    predicts no CTR.

    Evidence: secondary sources describe it as a baseline of the cited paper. The correction is a
    standard identity.

    Differs from the paper: weights replace copies. The correction, without which the CVR would be
    overestimated, is ours, and :math:`k` is tuned.

    Origin of the defaults: ``copies``, :math:`k`, is ours; the paper searches it.
    """

    name = "DNN-OS"
    cite = "ma2018entire"
    requires = frozenset({"click"})

    copies: int = tuned(5, low=2, high=20)

    def build(self, blueprint: Blueprint) -> None:
        self.towers = blueprint.towers(1, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        return Prediction(cvr=Probability.from_logit(self._logit(features) - math.log(self.copies)))

    def _logit(self, features: Features) -> Tensor:
        (logit,) = self.towers(self.backbone(features))
        return logit

    def loss(self, batch: Batch) -> Tensor:
        inflated = Probability.from_logit(self._logit(batch.features))
        weights = batch.clicked * (1 + (self.copies - 1) * batch.conversion)
        errors = inflated.cross_entropy(batch.conversion)
        return (weights * errors).sum() / weights.sum().clamp_min(1)
