"""DCMT: a counterfactual CVR learned where nothing was clicked, tied to the factual one."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training import losses
from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.method import Method


class DCMT(Method):
    r"""Learn the CVR on clicks and its opposite on the rest, with a prior that they sum to 1.

    With click o, conversion r, predictions :math:`\hat o, \hat r`, counterfactual CVR
    :math:`\hat r^*`, :math:`p = \max(\hat o, \tau)` and :math:`q = \max(1 - \hat o, \tau)`
    without gradient, L is the mean over all impressions (Horvitz-Thompson) of

    .. math:: e(o, \hat o) + w (\frac{o}{p} e(r, \hat r) + \frac{1 - o}{q} e(1, \hat r^*)
              + \lambda |1 - \hat r - \hat r^*|) + e(or, \hat o \hat r)

    The constant label draws :math:`\hat r^*` to 1, whence the prior pulls :math:`\hat r` to 0.

    Evidence: objective read in later papers and in public code, whose values are the defaults.

    Differs from the paper: no wide part, tuned floor; its weights may be self-normalised.
    """

    name = "DCMT"
    citation = """
    @inproceedings{zhu2023dcmt,
      title     = {{DCMT}: A Direct Entire-Space Causal Multi-Task Framework for Post-Click
                   Conversion Estimation},
      author    = {Zhu, Feng and Zhong, Mingjie and Yang, Xinxing and Li, Longfei and Yu, Lu and
                   Zhang, Tiehua and Zhou, Jun and Chen, Chaochao and Wu, Fei and Liu, Guanfeng
                   and Wang, Yan},
      booktitle = {ICDE},
      year      = {2023},
      eprint    = {2302.06141},
      archiveprefix = {arXiv},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "cvr_weight": FloatDistribution(0.1, 10, log=True),
        "prior_weight": FloatDistribution(1e-4, 0.1, log=True),
        "propensity_floor": FloatDistribution(0.01, 0.2, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        cvr_weight: float = 1.0,
        prior_weight: float = 1e-3,
        propensity_floor: float = 0.05,
    ) -> None:
        super().__init__(blueprint)
        self.ctr_tower = blueprint.towers(1, self.backbone.width)
        self.twin_tower = blueprint.shared_tower(2, self.backbone.width)
        self.cvr_weight = cvr_weight
        self.prior_weight = prior_weight
        self.propensity_floor = propensity_floor

    def forward(self, features: Features) -> Prediction:
        encoding = self.backbone(features)
        logits = (*self.ctr_tower(encoding), *self.twin_tower(encoding).unbind(1))
        ctr, cvr, opposite = map(Probability.from_logit, logits)
        return Prediction(ctr=ctr, cvr=cvr, counterfactual_cvr=opposite)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        factual = losses.ips_loss(prediction, batch, self.propensity_floor)
        opposite = losses.counterfactual_loss(prediction, batch, self.propensity_floor)
        prior = self.prior_weight * losses.counterfactual_gap(prediction)
        entire_space = losses.ctr_loss(prediction, batch) + losses.ctcvr_loss(prediction, batch)
        return entire_space + self.cvr_weight * (factual + opposite + prior)
