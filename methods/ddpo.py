"""DDPO: a conversion propensity, learned on clicks, labels what was not clicked."""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution, FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import click_weights, ctcvr_loss, ctr_loss, no_click_weights
from benchmark.training.method import Method
from benchmark.training.modules.weights import self_normalised


class DDPO(Method):
    r"""Train the CVR on weighted clicks and on weighted pseudo-labels of the rest.

    With click o, conversion r, predictions :math:`\hat o, \hat r`, conversion propensity
    :math:`\hat c`, :math:`u = o / \max(\hat o, \tau)`, :math:`v = (1 - o) / \max(1 - \hat o,
    \tau)`, and sums and means over a batch of impressions:

    .. math:: L = \mathrm{mean}(e(o, \hat o) + e(or, \hat o \hat r) + o \, e(r, \hat c))
              + w \sum (\frac{u}{\sum u} + \frac{v}{\sum v}) e(\min(1, or + \hat c), \hat r)

    The last :math:`\hat c` is without gradient, a stop-gradient: it teaches and must not learn. On
    clicks the label exceeds r on average, and so will the CVR.

    Evidence: losses and defaults verified in the authors' published code, which divides the last
    sum, whose weights already sum to 1, once more by the batch's size (``as_released``).

    Differs from the paper: parallel towers without its two attention modules; the last sum is not
    divided by default; its weight, there 1, and the floor are tuned.
    """

    name = "DDPO"
    citation = """
    @inproceedings{su2024ddpo,
      title     = {{DDPO}: Direct Dual Propensity Optimization for Post-Click Conversion Rate
                   Estimation},
      author    = {Su, Hongzu and Meng, Lichao and Zhu, Lei and Lu, Ke and Li, Jingjing},
      booktitle = {SIGIR},
      year      = {2024},
      doi       = {10.1145/3626772.3657817},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "cvr_weight": FloatDistribution(0.1, 10, log=True),
        "propensity_floor": FloatDistribution(1e-6, 0.2, log=True),
        "as_released": CategoricalDistribution((False, True)),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        cvr_weight: float = 1.0,
        propensity_floor: float = 1e-6,
        as_released: bool = False,
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(3, self.backbone.width)
        self.cvr_weight, self.floor, self.as_released = cvr_weight, propensity_floor, as_released

    def forward(self, features: Features) -> Prediction:
        ctr, cvr, _ = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        logits = self.towers(self.backbone(batch.features))
        ctr, cvr, converts = map(Probability.from_logit, logits)
        prediction = Prediction(ctr=ctr, cvr=cvr)
        label = (batch.clicked * batch.conversion + converts.value().detach()).clamp_max(1)
        clicks = self_normalised(click_weights(prediction, batch, self.floor))
        others = self_normalised(no_click_weights(prediction, batch, self.floor))
        errors = (clicks + others) * cvr.cross_entropy(label)
        debiased = errors.mean() if self.as_released else errors.sum()
        propensity = (batch.clicked * converts.cross_entropy(batch.conversion)).mean()
        entire_space = ctr_loss(prediction, batch) + ctcvr_loss(prediction, batch)
        return entire_space + propensity + self.cvr_weight * debiased
