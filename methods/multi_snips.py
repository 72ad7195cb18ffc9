"""Multi-SNIPS: clicks weighted by their inverse propensities, which sum to 1 over a batch."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctr_loss
from benchmark.training.method import Method
from benchmark.training.modules.weights import snips_loss


class MultiSNIPS(Method):
    r"""Weight the loss of each click by its inverse propensity, relative to the batch's others.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, floor
    :math:`\tau`, e the cross entropy, :math:`u = o / \max(\hat o, \tau)` and sums over a batch B
    of impressions:

    .. math:: L = \frac{1}{|B|} \sum e(o, \hat o) + w \frac{\sum u \, e(r, \hat r)}{\sum u}

    The weight carries no gradient. Right up to a bias of the order of one over the clicks of a
    batch, with less variance than Horvitz-Thompson weights, and indifferent to a common factor of
    the propensities: constant ones give the naive loss.

    Evidence: the estimator is that of the cited paper, verified there and in public code.

    Differs from the paper: it is about bandits; the tasks are those of Multi-IPW, the combination
    and the floor are ours, and the sums are those of a batch.
    """

    name = "Multi-SNIPS"
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
        cvr_loss = snips_loss(prediction, batch, self.propensity_floor)
        return ctr_loss(prediction, batch) + self.cvr_weight * cvr_loss
