"""ESM²+Mi: ESM² whose intermediate action is any behaviour, micro or macro."""

from __future__ import annotations

from dataclasses import replace

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss, path_loss
from benchmark.training.method import Method


class ESM2Micro(Method):
    r"""Compose the CVR as ESM² does, with "micro or macro" in the place of the macro behaviour.

    With :math:`y_1` P(click), :math:`y_2` P(d | click) and :math:`y_3, y_4` P(conversion | d or
    not), where :math:`d = \max(m, a)` is 1 if the click led to any behaviour:

    .. math:: \hat r = y_2 y_3 + (1 - y_2) y_4, \quad
              L = e(o, y_1) + w_d e(od, y_1 y_2) + w_c e(or, y_1 \hat r)

    with click o, micro m, macro a, conversion r, and e the mean cross entropy over all
    impressions. Where a log consists of clicks, :math:`y_1 = 1` and its term is dropped.

    Evidence: a baseline of the cited paper, which adds micro behaviours to ESM² without hierarchy;
    how exactly is not known to us, and the union is our reading.

    Differs from the paper: the union; weights are tuned around 1.
    """

    name = "ESM²+Mi"
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
        "action_weight": FloatDistribution(0.1, 10, log=True),
        "ctcvr_weight": FloatDistribution(0.1, 10, log=True),
    }

    def __init__(
        self, blueprint: Blueprint, *, action_weight: float = 1.0, ctcvr_weight: float = 1.0
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(4, self.backbone.width)
        self.action_weight = action_weight
        self.ctcvr_weight = ctcvr_weight

    def forward(self, features: Features) -> Prediction:
        return replace(self._with_action(features), macro=None)

    def _with_action(self, features: Features) -> Prediction:
        y1, y2, y3, y4 = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=y1, macro=y2, cvr=y2.mix(y3, y4))

    def loss(self, batch: Batch) -> Tensor:
        assert batch.micro is not None
        assert batch.macro is not None
        union = replace(batch, macro=torch.maximum(batch.micro, batch.macro))
        prediction = self._with_action(batch.features)
        return (
            ctr_loss(prediction, batch)
            + self.action_weight * path_loss(prediction, union, "macro")
            + self.ctcvr_weight * ctcvr_loss(prediction, batch)
        )
