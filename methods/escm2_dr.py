"""ESCM²-DR: entire-space CTCVR, with the CVR regularised by a doubly robust risk."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor
from torch.nn.functional import softplus

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss, dr_loss, imputation_loss
from benchmark.training.method import Method


class ESCM2DR(Method):
    r"""Add to CTR and CTCVR the doubly robust risk of the CVR, with an imputed error.

    With click o, conversion r, predictions :math:`\hat o, \hat r`, e the cross entropy,
    :math:`\delta = e(r, \hat r)`, imputed error :math:`\hat\delta > 0`, :math:`u = o /
    \max(\hat o, \tau)` without gradient, and means over all impressions (Horvitz-Thompson):

    .. math:: L = \mathrm{mean}\, e(o, \hat o) + \lambda_c \, \mathrm{mean}(\hat\delta
              + u (\delta - \hat\delta) + u (\delta - \hat\delta)^2)
              + \lambda_g \, \mathrm{mean}\, e(or, \hat o \hat r)

    Each model is a constant to the other, so the risk's gradient is that of IPS: the imputation
    acts through the shared backbone only. Imputing a label, as DR-JL does, would differ.

    Evidence: losses, floor 0.1 and stopped gradient from secondary sources that agree.

    Differs from the paper: parallel towers instead of mixed experts, one joint update instead of
    alternate ones; floor and weights are tuned from its values.
    """

    name = "ESCM²-DR"
    citation = """
    @inproceedings{wang2022escm2,
      title     = {{ESCM2}: Entire Space Counterfactual Multi-Task Model for Post-Click Conversion
                   Rate Estimation},
      author    = {Wang, Hao and Chang, Tai-Wei and Liu, Tianqiao and Huang, Jianmin
                   and Chen, Zhichao and Yu, Chao and Li, Ruopeng and Chu, Wei},
      booktitle = {SIGIR},
      year      = {2022},
      doi       = {10.1145/3477495.3531972},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "cvr_weight": FloatDistribution(0.01, 10, log=True),
        "ctcvr_weight": FloatDistribution(0.1, 10, log=True),
        "propensity_floor": FloatDistribution(0.01, 0.2, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        cvr_weight: float = 0.1,
        ctcvr_weight: float = 1.0,
        propensity_floor: float = 0.1,
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(3, self.backbone.width)
        self.cvr_weight = cvr_weight
        self.ctcvr_weight = ctcvr_weight
        self.propensity_floor = propensity_floor

    def forward(self, features: Features) -> Prediction:
        ctr, cvr, error = self.towers(self.backbone(features))
        from_logit = Probability.from_logit
        return Prediction(ctr=from_logit(ctr), cvr=from_logit(cvr), imputed_error=softplus(error))

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        floor = self.propensity_floor
        cvr_loss = dr_loss(prediction, batch, floor) + imputation_loss(prediction, batch, floor)
        entire_space = self.ctcvr_weight * ctcvr_loss(prediction, batch)
        return ctr_loss(prediction, batch) + self.cvr_weight * cvr_loss + entire_space
