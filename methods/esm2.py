"""ESM²: purchase-related macro behaviours between click and conversion."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss, path_loss
from benchmark.training.method import Method


class ESM2(Method):
    r"""Compose the CVR of a macro behaviour and its two ways to a conversion.

    With :math:`y_1` P(click), :math:`y_2` P(macro | click) and :math:`y_3, y_4`
    P(conversion | macro or not):

    .. math:: \hat r = y_2 y_3 + (1 - y_2) y_4, \quad
              L = e(o, y_1) + w_a e(oa, y_1 y_2) + w_c e(or, y_1 \hat r)

    with labels click o, macro a, conversion r, and e the mean cross entropy over all impressions.
    Where a log consists of clicks, :math:`y_1 = 1` and its term is dropped.

    Evidence: graph, composition and equal weights from secondary sources that agree.

    Differs from the paper: the weights, there 1, are tuned around 1; tower sizes are the
    benchmark's.
    """

    name = "ESM²"
    citation = """
    @inproceedings{wen2020entire,
      title     = {Entire Space Multi-Task Modeling via Post-Click Behavior Decomposition for
                   Conversion Rate Prediction},
      author    = {Wen, Hong and Zhang, Jing and Wang, Yuan and Lv, Fuyu and Bao, Wentian
                   and Lin, Quan and Yang, Keping},
      booktitle = {SIGIR},
      year      = {2020},
      doi       = {10.1145/3397271.3401443},
    }
    """
    requires = frozenset({"click", "macro"})
    search_space = {
        "macro_weight": FloatDistribution(0.1, 10, log=True),
        "ctcvr_weight": FloatDistribution(0.1, 10, log=True),
    }

    def __init__(
        self, blueprint: Blueprint, *, macro_weight: float = 1.0, ctcvr_weight: float = 1.0
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(4, self.backbone.width)
        self.macro_weight = macro_weight
        self.ctcvr_weight = ctcvr_weight

    def forward(self, features: Features) -> Prediction:
        y1, y2, y3, y4 = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=y1, macro=y2, cvr=y2.mix(y3, y4))

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return (
            ctr_loss(prediction, batch)
            + self.macro_weight * path_loss(prediction, batch, "macro")
            + self.ctcvr_weight * ctcvr_loss(prediction, batch)
        )
