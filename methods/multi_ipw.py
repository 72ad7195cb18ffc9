"""Multi-IPW: clicks weighted by their inverse propensities, which a CTR task learns alongside."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctr_loss, ips_loss
from benchmark.training.method import Method


class MultiIPW(Method):
    r"""Weight the loss of each click by its inverse propensity, the CTR predicted alongside.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, floor
    :math:`\tau`, e the cross entropy and means over all impressions (Horvitz-Thompson):

    .. math:: L = \mathrm{mean}\, e(o, \hat o)
              + w \, \mathrm{mean}(o \, e(r, \hat r) / \max(\hat o, \tau))

    The weight carries no gradient. Unbiased for the CVR loss over all impressions if
    :math:`\hat o` is right and above the floor.

    Evidence: both losses restated with equation numbers by a later paper that we read.

    Differs from the paper: propensities have a floor, which is tuned, as is :math:`w`, there 1;
    tower sizes are the benchmark's.
    """

    name = "Multi-IPW"
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
        self.towers = blueprint.towers(2, self.backbone.width)
        self.cvr_weight = cvr_weight
        self.propensity_floor = propensity_floor

    def forward(self, features: Features) -> Prediction:
        ctr, cvr = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        cvr_loss = ips_loss(prediction, batch, self.propensity_floor)
        return ctr_loss(prediction, batch) + self.cvr_weight * cvr_loss
