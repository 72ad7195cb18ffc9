"""ChorusCVR: a tower for what was clicked and not bought gives the CVR soft labels."""

from __future__ import annotations

from dataclasses import replace

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training import losses
from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.method import Method


class ChorusCVR(Method):
    r"""Learn conversion and its absence after a click as two events, and align the first.

    With click o, conversion r, predictions :math:`\hat o, \hat r`, P(no conversion | click)
    :math:`\hat n`, :math:`u = o / \max(\hat o, \tau)` and :math:`v = (1 - o) / \max(1 - \hat o,
    \tau)`, L is the mean over all impressions of

    .. math:: e(o, \hat o) + e(or, \hat o \hat r) + e(o(1 - r), \hat o \hat n)
              + w u (e(r, \hat r) + e(1 - r, \hat n)) + w_a (u + v) e(1 - \hat n, \hat r)

    The last :math:`\hat n` is without gradient, a stop-gradient: soft labels supervise one way.

    Evidence: a re-implementation; direction (summaries disagree), means and floor are assumed.

    Differs from the paper: the CTR loss is added; both weights, there 1, and floor are tuned.
    """

    name = "ChorusCVR"
    citation = """
    @misc{cheng2025choruscvr,
      title = {{ChorusCVR}: Chorus Supervision for Entire Space Post-Click Conversion Rate
               Modeling},
      author = {Cheng, Wei and Lu, Yucheng and Xia, Boyang and Cao, Jiangxia and Xu, Kuan
                and Wen, Mingxing and Jiang, Wei and Zhang, Jiaming and Liu, Zhaojie
                and Hong, Liyin and Gai, Kun and Zhou, Guorui},
      year = {2025},
      eprint = {2502.08277},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "cvr_weight": FloatDistribution(0.1, 10, log=True),
        "alignment_weight": FloatDistribution(0.01, 10, log=True),
        "propensity_floor": FloatDistribution(0.01, 0.2, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        cvr_weight: float = 1.0,
        alignment_weight: float = 1.0,
        propensity_floor: float = 0.05,
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(3, self.backbone.width)
        self.cvr_weight, self.alignment_weight = cvr_weight, alignment_weight
        self.floor = propensity_floor

    def forward(self, features: Features) -> Prediction:
        ctr, cvr, _ = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        ctr, cvr, none = map(Probability.from_logit, self.towers(self.backbone(batch.features)))
        converts, declines = Prediction(ctr=ctr, cvr=cvr), Prediction(ctr=ctr, cvr=none)
        declined = replace(batch, conversion=1 - batch.conversion)
        total = losses.ctr_loss(converts, batch)
        for prediction, labels in ((converts, batch), (declines, declined)):
            weighted = self.cvr_weight * losses.ips_loss(prediction, labels, self.floor)
            total = total + losses.ctcvr_loss(prediction, labels) + weighted
        clicks = losses.click_weights(converts, batch, self.floor)
        weights = clicks + losses.no_click_weights(converts, batch, self.floor)
        aligned = cvr.cross_entropy(none.log_not.exp().detach())
        return total + self.alignment_weight * (weights * aligned).mean()
