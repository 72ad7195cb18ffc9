"""ESCIM: would it have been converted had it been clicked? A latent model answers with labels."""

from __future__ import annotations

from optuna.distributions import FloatDistribution, IntDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss, ips_loss
from benchmark.training.method import Method, Phase
from benchmark.training.modules.latent import LatentPrior


class ESCIM(Method):
    r"""Label unclicked impressions by a model of clicks, as many as the rate on clicks implies.

    First a prior CVR :math:`f(x, z)`, z noise, and a variational autoencoder of x and conversion r
    learn from clicks, x the encoding. Then, with click o, predictions :math:`\hat o, \hat r`, z of
    the autoencoder's average posterior and :math:`p = \max(\hat o, \tau)`, L is the mean of

    .. math:: e(o, \hat o) + e(or, \hat o \hat r) + \frac{o}{p} w \, e(r, \hat r)
              + \frac{1 - o}{p} w_k \, e([f(x, z) \text{ among the } k \text{ highest}], \hat r)

    k is a batch's conversions times its impressions per click. Labels carry no gradient.

    Evidence: authors' published code read ("ratio" labels), whose values are the defaults.

    Differs from the paper: prior and autoencoder share embedding and epochs, without annealing;
    propensities carry no gradient; means are over impressions.
    """

    name = "ESCIM"
    citation = """
    @inproceedings{ahn2025predicting,
      title     = {On Predicting Post-Click Conversion Rate via Counterfactual Inference},
      author    = {Ahn, Junhyung and Lee, Sanghack},
      booktitle = {ICDM},
      year      = {2025},
      eprint    = {2510.04816},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "prior_epochs": IntDistribution(1, 4),
        "cvr_weight": FloatDistribution(0.01, 10, log=True),
        "counterfactual_weight": FloatDistribution(1e-5, 1, log=True),
        "propensity_floor": FloatDistribution(0.01, 0.2, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        prior_epochs: int = 2,
        cvr_weight: float = 0.1,
        counterfactual_weight: float = 1e-4,
        propensity_floor: float = 0.05,
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(2, self.backbone.width)
        self.prior = LatentPrior(blueprint)
        self.prior_epochs, self.floor = prior_epochs, propensity_floor
        self.cvr_weight, self.counterfactual_weight = cvr_weight, counterfactual_weight

    def warm_up(self) -> tuple[Phase, ...]:
        return (Phase(self.prior_epochs, self.prior.updates),)

    def forward(self, features: Features) -> Prediction:
        ctr, cvr = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        imagined = self.prior.imagine(batch)
        factual = self.cvr_weight * ips_loss(prediction, batch, self.floor)
        asked = self.counterfactual_weight * ips_loss(prediction, imagined, self.floor)
        return ctr_loss(prediction, batch) + ctcvr_loss(prediction, batch) + factual + asked
