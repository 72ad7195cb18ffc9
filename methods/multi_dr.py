"""Multi-DR: inverse propensities, corrected by an imputed error on every impression."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor
from torch.nn.functional import softplus

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctr_loss, dr_loss, imputation_loss
from benchmark.training.method import Method


class MultiDR(Method):
    r"""Impute the CVR error everywhere and correct it on clicks by inverse propensities.

    With click :math:`o`, predictions :math:`\hat o, \hat r`, error :math:`\delta = e(r, \hat r)`,
    imputed error :math:`\hat\delta > 0`, :math:`u = o / \max(\hat o, \tau)` without gradient, and
    means over all impressions (Horvitz-Thompson):

    .. math:: L = \mathrm{mean}\, e(o, \hat o) + w \, \mathrm{mean}(\hat\delta
              + u (\delta - \hat\delta)) + w \, \mathrm{mean}(u (\delta - \hat\delta)^2)

    Each model is a constant to the other, so the middle term's gradient is that of IPS: the
    imputation acts through the shared backbone only. Imputing a label instead, as DR-JL does,
    would give unclicked impressions a gradient of their own.

    Evidence: doubly robust term restated with its number by a later paper that we read.

    Differs from the paper: floor and w, there 1, are tuned; the imputation loss is ESCM²'s.
    """

    name = "Multi-DR"
    citation = """
    @inproceedings{zhang2020large,
      title     = {Large-Scale Causal Approaches to Debiasing Post-Click Conversion Rate Estimation
                   with Multi-Task Learning},
      author    = {Zhang, Wenhao and Bao, Wentian and Liu, Xiao-Yang and Yang, Keping
                   and Lin, Quan and Wen, Hong and Ramezani, Ramin},
      booktitle = {WWW},
      year      = {2020},
      doi       = {10.1145/3366423.3380037},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "cvr_weight": FloatDistribution(0.1, 10, log=True),
        "propensity_floor": FloatDistribution(0.01, 0.2, log=True),
    }

    def __init__(
        self, blueprint: Blueprint, *, cvr_weight: float = 1.0, propensity_floor: float = 0.05
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(3, self.backbone.width)
        self.cvr_weight = cvr_weight
        self.propensity_floor = propensity_floor

    def forward(self, features: Features) -> Prediction:
        ctr, cvr, error = self.towers(self.backbone(features))
        from_logit = Probability.from_logit
        return Prediction(ctr=from_logit(ctr), cvr=from_logit(cvr), imputed_error=softplus(error))

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        floor = self.propensity_floor
        cvr_loss = dr_loss(prediction, batch, floor) + imputation_loss(prediction, batch, floor)
        return ctr_loss(prediction, batch) + self.cvr_weight * cvr_loss
