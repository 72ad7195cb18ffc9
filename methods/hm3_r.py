"""HM3-R: HM3 with its hops reversed, the macro behaviour before the micro behaviour."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss, path_loss
from benchmark.training.method import Method


class HM3R(Method):
    r"""Compose the CVR as HM3 does, with micro and macro behaviours in each other's place.

    With :math:`y_1` P(click), :math:`y_2` P(macro | click), :math:`y_3, y_5` P(micro | macro or
    not) and :math:`y_4, y_6` P(conversion | micro or not):

    .. math:: M = y_2 y_3 + (1 - y_2) y_5, \quad \hat r = M y_4 + (1 - M) y_6

    .. math:: L = e(o, y_1) + w_m e(om, y_1 M) + w_a e(oa, y_1 y_2) + w_c e(or, y_1 \hat r)

    with e the mean cross entropy over all impressions. Where a log consists of clicks,
    :math:`y_1 = 1` and its term is dropped.

    Evidence: a baseline of the cited paper, there worse than HM3, by secondary sources; the
    composition is HM3's with the roles swapped.

    Differs from the paper: loss weights, whose values are not known to us, are tuned around 1.
    """

    name = "HM3-R"
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
        micro = y2.mix(y3, y5)
        return Prediction(ctr=y1, macro=y2, micro=micro, cvr=micro.mix(y4, y6))

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return (
            ctr_loss(prediction, batch)
            + self.micro_weight * path_loss(prediction, batch, "micro")
            + self.macro_weight * path_loss(prediction, batch, "macro")
            + self.ctcvr_weight * ctcvr_loss(prediction, batch)
        )
