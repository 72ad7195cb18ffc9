"""CL4CVR: ESMM, and beside it two masked views of an impression that must agree."""

from __future__ import annotations

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor
from torch.nn.functional import dropout

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss
from benchmark.training.method import Method
from benchmark.training.modules.contrastive import contrastive_loss, same_ids

CONTRASTED = 256  # rows of a batch, whose order is random


class CL4CVR(Method):
    r"""Add a contrastive loss of impressions, with or without click, to CTR and CTCVR.

    With click o, conversion r, predictions :math:`\hat o, \hat r`, e the mean cross entropy over
    impressions and C the supervised contrastive loss of two views of the encoding x, seen through
    a random mask m of its dimensions and through the rest, and projected by h:

    .. math:: L = e(o, \hat o) + e(or, \hat o \hat r) + w \, C(h(m x), h((1 - m) x))

    An impression's doubles, with the same categorical features, are no negatives, and all
    conversions are positives of one another.

    Evidence: abstract and authors' published code read; w and temperature are the code's.

    Differs from the paper: doubles count as positives, not as nothing; unlike in the code, they
    are not those of cosine above 0.9, and the CTCVR's gradient reaches the CTR. A part of each
    batch is contrasted, four times its size there.
    """

    name = "CL4CVR"
    citation = """
    @inproceedings{ouyang2023contrastive,
      title     = {Contrastive Learning for Conversion Rate Prediction},
      author    = {Ouyang, Wentao and Dong, Rui and Zhang, Xiuwu and Guo, Chaofeng
                   and Luo, Jinmei and Liu, Xiangzheng and Du, Yanlong},
      booktitle = {SIGIR},
      year      = {2023},
      eprint    = {2307.05974},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "contrastive_weight": FloatDistribution(1e-3, 1, log=True),
        "temperature": FloatDistribution(0.1, 20, log=True),
    }

    def __init__(
        self, blueprint: Blueprint, *, contrastive_weight: float = 0.01, temperature: float = 12.0
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(2, self.backbone.width)
        self.projection = blueprint.shared_tower(self.backbone.width, self.backbone.width)
        self.contrastive_weight, self.temperature = contrastive_weight, temperature

    def forward(self, features: Features) -> Prediction:
        ctr, cvr = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        encoding = self.backbone(batch.features)
        ctr, cvr = map(Probability.from_logit, self.towers(encoding))
        some = encoding[:CONTRASTED]
        mask = dropout(torch.full_like(some[0], 0.5), 0.5, self.training)  # 0 or 1
        views = self.projection(mask * some), self.projection((1 - mask) * some)
        converted = (batch.clicked * batch.conversion > 0)[:CONTRASTED]
        alike, same = (
            converted & converted.unsqueeze(1),
            same_ids(batch.features.sparse[:CONTRASTED]),
        )
        contrastive = contrastive_loss(*views, same, alike, self.temperature)
        prediction = Prediction(ctr=ctr, cvr=cvr)
        entire_space = ctr_loss(prediction, batch) + ctcvr_loss(prediction, batch)
        return entire_space + self.contrastive_weight * contrastive
