"""AITM: what the CTR learned, transferred to the CTCVR by attention, and the order calibrated."""

from __future__ import annotations

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor, nn

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint, mlp
from benchmark.training.method import Method


class AITM(Method):
    r"""Predict the CTCVR from its own features and the CTR's, and punish it for exceeding the CTR.

    With layers :math:`q_o, q_c` on the encoding, transfer layer g, maps Q, K, V, towers h, click o,
    conversion r and e the mean cross entropy over all impressions:

    .. math:: z = \sum_{u \in \{q_c, g(q_o)\}} \mathrm{softmax}_u(Q u \cdot K u / \sqrt d) \, V u,
              \quad \hat o = h_o(q_o), \quad \hat c = h_c(z)

    .. math:: L = e(o, \hat o) + w e(or, \hat c) + \alpha \, \mathrm{mean} \max(\hat c - \hat o, 0)

    It predicts the CTCVR; the CVR is :math:`\min(\hat c / \hat o, 1)`, not trained itself.

    Evidence: attention, calibrator and :math:`\alpha = 0.6` verified in the authors' code.

    Differs from the paper: layer sizes are ours, w, there 1, is tuned, and the CVR is a quotient.
    """

    name = "AITM"
    citation = """
    @inproceedings{xi2021modeling,
      title     = {Modeling the Sequential Dependence among Audience Multi-step Conversions with
                   Multi-task Learning in Targeted Display Advertising},
      author    = {Xi, Dongbo and Chen, Zhen and Yan, Peng and Zhang, Yinger and Zhu, Yongchun
                   and Zhuang, Fuzhen and Chen, Yu},
      booktitle = {KDD},
      year      = {2021},
      doi       = {10.1145/3447548.3467071},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "ctcvr_weight": FloatDistribution(0.1, 10, log=True),
        "calibrator_weight": FloatDistribution(0.01, 10, log=True),
    }

    def __init__(
        self, blueprint: Blueprint, *, ctcvr_weight: float = 1.0, calibrator_weight: float = 0.6
    ) -> None:
        super().__init__(blueprint)
        self.layers, width = blueprint.experts(2, self.backbone.width)
        self.transfer = mlp(width, (width,), blueprint.dropout)
        self.attention = nn.Linear(width, 3 * width, bias=False)
        self.ctr_tower = blueprint.towers(1, width)
        self.ctcvr_tower = blueprint.towers(1, width)
        self.ctcvr_weight = ctcvr_weight
        self.calibrator_weight = calibrator_weight

    def forward(self, features: Features) -> Prediction:
        ctr, ctcvr = self._steps(features)
        return Prediction(ctr=ctr, cvr=ctcvr.given(ctr))

    def _steps(self, features: Features) -> tuple[Probability, Probability]:
        click, conversion = self.layers(self.backbone(features))
        sources = torch.stack([conversion, self.transfer(click)])
        query, key, value = self.attention(sources).chunk(3, 2)
        weights = ((query * key).sum(2, keepdim=True) / query.shape[2] ** 0.5).softmax(0)
        (ctr,), (ctcvr,) = self.ctr_tower(click), self.ctcvr_tower((weights * value).sum(0))
        return Probability.from_logit(ctr), Probability.from_logit(ctcvr)

    def loss(self, batch: Batch) -> Tensor:
        ctr, ctcvr = self._steps(batch.features)
        ctcvr_loss = ctcvr.cross_entropy(batch.clicked * batch.conversion).mean()
        excess = (ctcvr.value() - ctr.value()).relu().mean()
        click_loss = ctr.cross_entropy(batch.clicked).mean()
        return click_loss + self.ctcvr_weight * ctcvr_loss + self.calibrator_weight * excess
