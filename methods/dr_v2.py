"""DR-V2: doubly robust learning with propensities that balance what is predicted."""

from __future__ import annotations

from collections.abc import Iterator

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss
from benchmark.training.method import Update
from benchmark.training.modules.doubly_robust import DoublyRobust, balancing_weights


class DRV2(DoublyRobust):
    r"""Learn three networks at once, and penalise propensities that leave clicks unbalanced.

    With click o, conversion r, prediction :math:`\hat r`, pseudo-label :math:`\tilde r`,
    propensity p, :math:`q = 1 - p`, both with floor, :math:`u = o / p`, :math:`e = e(r, \hat r)`,
    :math:`\hat e = e(\tilde r, \hat r)` and means over all impressions:

    .. math:: L = \mathrm{mean}(e(o, p) + \alpha e(or, p \hat r)
              + \beta (\hat e + u (e - \hat e)) + u (e - \hat e)^2)
              + \gamma \, \mathrm{mean}((\frac{o}{p} - \frac{1 - o}{q}) \hat r)^2

    The last mean is 0 in expectation where p is right. The third term is constant in p and
    :math:`\tilde r`, the fourth in all but :math:`\tilde r`.

    Evidence: loss, joint step and the defaults (of "product") read in the authors' code.

    Differs from the paper: propensities have a floor and, as weights, no gradient; cross entropy
    for the squared error, neural networks for matrix factorisation.
    """

    name = "DR-V2"
    citation = """
    @inproceedings{li2023propensity,
      title     = {Propensity Matters: Measuring and Enhancing Balancing for Recommendation},
      author    = {Li, Haoxuan and Xiao, Yanghao and Zheng, Chunyuan and Wu, Peng and Cui, Peng},
      booktitle = {ICML},
      year      = {2023},
      url       = {https://proceedings.mlr.press/v202/li23ah.html},
    }
    """
    search_space = {
        "ctcvr_weight": FloatDistribution(0.1, 10, log=True),
        "cvr_weight": FloatDistribution(0.1, 10, log=True),
        "balance_weight": FloatDistribution(0.01, 10, log=True),
        "propensity_floor": FloatDistribution(0.01, 0.2, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        ctcvr_weight: float = 1.0,
        cvr_weight: float = 10.0,
        balance_weight: float = 1.0,
        propensity_floor: float = 0.05,
    ) -> None:
        super().__init__(blueprint, propensity_epochs=0, propensity_floor=propensity_floor)
        self.ctcvr_weight = ctcvr_weight
        self.cvr_weight = cvr_weight
        self.balance_weight = balance_weight

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        balance = balancing_weights(prediction, batch, self.propensity_floor)
        return (
            ctr_loss(prediction, batch)
            + self.ctcvr_weight * ctcvr_loss(prediction, batch)
            + self.cvr_weight * self.risk(prediction, batch)
            + self.imputation_loss(prediction, batch)
            + self.balance_weight * (balance * prediction.cvr.value()).mean().square()
        )

    def updates(self, batch: Batch) -> Iterator[Update]:
        yield Update(self.loss(batch), self)
