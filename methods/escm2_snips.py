"""ESCM²-SNIPS: entire-space CTCVR, with the CVR regularised by self-normalised propensities."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss
from benchmark.training.method import Method
from benchmark.training.modules.weights import snips_loss


class ESCM2SNIPS(Method):
    r"""Add to CTR and CTCVR the loss of each click, by its share of the inverse propensities.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, floor
    :math:`\tau`, e the cross entropy, :math:`u = o / \max(\hat o, \tau)`, and sums and means over
    a batch of impressions:

    .. math:: L = \mathrm{mean}\, e(o, \hat o)
              + \lambda_c \frac{\sum u \, e(r, \hat r)}{\sum u}
              + \lambda_g \, \mathrm{mean}\, e(or, \hat o \hat r)

    The weight carries no gradient; the last term's reaches :math:`\hat o`.

    Evidence: the estimator is that of the cited paper, verified there and in public code.

    Differs from the paper: it is about bandits; the other losses and all defaults are those of
    ESCM²-IPS, the combination is ours, and the sums are those of a batch.
    """

    name = "ESCM²-SNIPS"
    citation = """
    @inproceedings{swaminathan2015self,
      title     = {The Self-Normalized Estimator for Counterfactual Learning},
      author    = {Swaminathan, Adith and Joachims, Thorsten},
      booktitle = {NIPS},
      year      = {2015},
      url = {https://papers.nips.cc/paper/2015/hash/39027dfad5138c9ca0c474d71db915c3-Abstract.html},
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
        cvr_loss = snips_loss(prediction, batch, self.propensity_floor)
        entire_space = self.ctcvr_weight * ctcvr_loss(prediction, batch)
        return ctr_loss(prediction, batch) + self.cvr_weight * cvr_loss + entire_space
