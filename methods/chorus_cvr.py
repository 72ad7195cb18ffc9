from dataclasses import replace

from benchmark.method import Batch, Blueprint, Features, Method, Prediction, Tensor, losses, tuned


class ChorusCVR(Method):
    r"""ChorusCVR learns which clicks do not convert and supervises the CVR by its complement.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, a third tower
    :math:`\hat n` for P(no conversion | click), :math:`u = o / \max(\hat o, \tau)`,
    :math:`v = (1 - o) / \max(1 - \hat o, \tau)` and cross entropy :math:`e`, the loss is the mean
    over all impressions of

    .. math:: e(o, \hat o) + e(or, \hat o \hat r) + e(o(1 - r), \hat o \hat n)
              + w u (e(r, \hat r) + e(1 - r, \hat n)) + w_a (u + v) e(1 - \hat n, \hat r)

    The last :math:`\hat n` is a soft label without gradient (stop-gradient): the supervision goes
    one way. It is right where :math:`\hat n` is, for which the method relies on the propensities.

    Evidence: our only source is a re-implementation. The direction of the alignment, on which
    summaries disagree, the normalisation by means and the floor are assumptions.

    Differs from the paper: the CTR loss, which the re-implementation lacks, is added. The
    re-implementation aligns both ways. Both weights and the floor are tuned.

    Origin of the defaults: ``cvr_weight`` and ``alignment_weight`` are 1 in the re-implementation.
    ``propensity_floor`` is ours; the re-implementation has 0.01.
    """

    name = "ChorusCVR"
    cite = "cheng2025choruscvr"
    requires = frozenset({"impression", "click"})

    cvr_weight: float = tuned(1.0, low=0.1, high=10)
    alignment_weight: float = tuned(1.0, low=0.01, high=10)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def build(self, blueprint: Blueprint) -> None:
        self.towers = blueprint.towers(3, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        ctr, cvr, _ = self.towers.probabilities(self.backbone(features))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        ctr, cvr, none = self.towers.probabilities(self.backbone(batch.features))
        converts, declines = Prediction(ctr=ctr, cvr=cvr), Prediction(ctr=ctr, cvr=none)
        declined = replace(batch, conversion=1 - batch.conversion)
        total, floor = losses.ctr_loss(converts, batch), self.propensity_floor
        for prediction, labels in ((converts, batch), (declines, declined)):
            weighted = self.cvr_weight * losses.ips_loss(prediction, labels, floor)
            total = total + losses.ctcvr_loss(prediction, labels) + weighted
        clicks = losses.click_weights(converts, batch, floor)
        weights = clicks + losses.no_click_weights(converts, batch, floor)
        aligned = cvr.cross_entropy(none.log_not.exp().detach())
        return total + self.alignment_weight * (weights * aligned).mean()
