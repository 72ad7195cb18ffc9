"""StableDR: imputation, propensity and a self-normalised prediction, learned in a cycle."""

from __future__ import annotations

from collections.abc import Iterator

from optuna.distributions import FloatDistribution, IntDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Prediction
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctr_loss
from benchmark.training.method import Update
from benchmark.training.modules.doubly_robust import DoublyRobust, learned_click_weights
from benchmark.training.modules.weights import snips_loss


class StableDR(DoublyRobust):
    r"""Self-normalise the weights of clicks, and learn propensities that keep this doubly robust.

    With click o, conversion r, prediction :math:`\hat r`, pseudo-label :math:`\tilde r`,
    propensity p with floor, :math:`u = o / p`, :math:`e = e(r, \hat r)`, :math:`\hat e =
    e(\tilde r, \hat r)` and means over all impressions, three networks descend in turn

    .. math:: \mathrm{mean}(u (e - \hat e)^2), \quad \mathrm{mean}\, e(o, p) + \eta \,
              \mathrm{mean}((1 - u)(\hat e - \mathrm{mean}\, \hat e))^2, \quad \sum u e / \sum u

    The last is bounded by the errors of clicks, however small p is, and where the squared mean is
    0, it is doubly robust: it equals :math:`\mathrm{mean}\, \hat e + \sum u (e - \hat e) / \sum u`.

    Evidence: losses and their order read in code of the paper's first author.

    Differs from the paper: p is a network, not naive Bayes, and has a floor; :math:`\eta`, 1 on
    sums over 128 rows there, is 128 on means; no swapped arguments in the imputation's ê.
    """

    name = "StableDR"
    citation = """
    @inproceedings{li2023stabledr,
      title     = {{StableDR}: Stabilized Doubly Robust Learning for Recommendation on Data Missing
                   Not at Random},
      author    = {Li, Haoxuan and Zheng, Chunyuan and Wu, Peng},
      booktitle = {ICLR},
      year      = {2023},
      url       = {https://arxiv.org/abs/2205.04701},
    }
    """
    search_space = {
        "propensity_epochs": IntDistribution(1, 3),
        "propensity_floor": FloatDistribution(0.01, 0.2, log=True),
        "constraint_weight": FloatDistribution(1, 1000, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        propensity_epochs: int = 2,
        propensity_floor: float = 0.05,
        constraint_weight: float = 128.0,
    ) -> None:
        super().__init__(
            blueprint, propensity_epochs=propensity_epochs, propensity_floor=propensity_floor
        )
        self.constraint_weight = constraint_weight

    def risk(self, prediction: Prediction, batch: Batch) -> Tensor:
        return snips_loss(prediction, batch, self.propensity_floor)

    def constraint(self, prediction: Prediction, batch: Batch) -> Tensor:
        weights = learned_click_weights(prediction, batch, self.propensity_floor)
        imputed = self.imputed_errors(prediction, batch)
        return ((1 - weights) * (imputed - imputed.mean())).mean()

    def updates(self, batch: Batch) -> Iterator[Update]:
        prediction = self(batch.features)
        yield Update(self.imputation_loss(prediction, batch), self.imputer)
        penalty = self.constraint_weight * self.constraint(prediction, batch).square()
        yield Update(ctr_loss(prediction, batch) + penalty, self.propensity)
        yield Update(self.loss(batch), self.predictor)
