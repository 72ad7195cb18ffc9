"""ESCM²-IPS: entire-space CTCVR, with the CVR regularised by inverse propensity scoring."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss, ips_loss
from benchmark.training.method import Method


class ESCM2IPS(Method):
    r"""Add to CTR and CTCVR the loss of each click, weighted by its inverse propensity.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, floor
    :math:`\tau`, e the cross entropy and means over all impressions (Horvitz-Thompson):

    .. math:: L = \mathrm{mean}\, e(o, \hat o)
              + \lambda_c \, \mathrm{mean}(o \, e(r, \hat r) / \max(\hat o, \tau))
              + \lambda_g \, \mathrm{mean}\, e(or, \hat o \hat r)

    The weight carries no gradient; the last term's reaches :math:`\hat o`.

    Evidence: losses, floor 0.1 and stopped gradient from secondary sources that agree.

    Differs from the paper: parallel towers on the shared embedding instead of mixed experts;
    floor and weights are tuned, from its 0.1, :math:`\lambda_c = 0.1, \lambda_g = 1`.
    """

    name = "ESCM²-IPS"
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
        self.towers = blueprint.towers(2, self.backbone.width)
        self.cvr_weight = cvr_weight
        self.ctcvr_weight = ctcvr_weight
        self.propensity_floor = propensity_floor

    def forward(self, features: Features) -> Prediction:
        ctr, cvr = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        cvr_loss = ips_loss(prediction, batch, self.propensity_floor)
        entire_space = self.ctcvr_weight * ctcvr_loss(prediction, batch)
        return ctr_loss(prediction, batch) + self.cvr_weight * cvr_loss + entire_space
