"""HM3: micro and macro behaviours after the click, modelled hierarchically."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss, path_loss
from benchmark.training.method import Method


class HM3(Method):
    r"""Compose the CVR of six conditional probabilities along the graph of behaviours.

    With :math:`y_1` P(click), :math:`y_2` P(micro | click), :math:`y_3, y_5` P(macro | micro or
    not) and :math:`y_4, y_6` P(conversion | macro or not):

    .. math:: A = y_2 y_3 + (1 - y_2) y_5, \quad \hat r = A y_4 + (1 - A) y_6

    .. math:: L = e(o, y_1) + w_m e(om, y_1 y_2) + w_a e(oa, y_1 A) + w_c e(or, y_1 \hat r)

    with e the mean cross entropy over all impressions. Where a log consists of clicks,
    :math:`y_1 = 1` and its term is dropped.

    Evidence: abstract and the six sub-paths verified, composition derived by the chain rule;
    the weights' values are not known to us. The four losses identify only the marginals: what a
    single head means is not guaranteed.

    Differs from the paper: loss weights are tuned around 1.
    """

    name = "HM3"
    citation = """
    @inproceedings{wen2021hm3,
      title     = {Hierarchically Modeling Micro and Macro Behaviors via Multi-Task Learning
                   for Conversion Rate Prediction},
      author    = {Wen, Hong and Zhang, Jing and Lv, Fuyu and Bao, Wentian and Wang, Tianyi
                   and Chen, Zulong},
      booktitle = {SIGIR},
      year      = {2021},
      doi       = {10.1145/3404835.3463053},
    }
    """
    requires = frozenset({"click", "micro", "macro"})
    search_space = {
        "micro_weight": FloatDistribution(0.1, 10, log=True),
        "macro_weight": FloatDistribution(0.1, 10, log=True),
        "ctcvr_weight": FloatDistribution(0.1, 10, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        micro_weight: float = 1.0,
        macro_weight: float = 1.0,
        ctcvr_weight: float = 1.0,
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(6, self.backbone.width)
        self.micro_weight = micro_weight
        self.macro_weight = macro_weight
        self.ctcvr_weight = ctcvr_weight

    def forward(self, features: Features) -> Prediction:
        y1, y2, y3, y4, y5, y6 = map(Probability.from_logit, self.towers(self.backbone(features)))
        macro = y2.mix(y3, y5)
        return Prediction(ctr=y1, micro=y2, macro=macro, cvr=macro.mix(y4, y6))

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return (
            ctr_loss(prediction, batch)
            + self.micro_weight * path_loss(prediction, batch, "micro")
            + self.macro_weight * path_loss(prediction, batch, "macro")
            + self.ctcvr_weight * ctcvr_loss(prediction, batch)
        )
