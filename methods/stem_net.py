"""STEM-Net: embedding tables per task beside shared ones, each learning from its own task."""

from __future__ import annotations

import torch
from optuna.distributions import FloatDistribution, IntDistribution
from torch import Tensor, nn

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint, ParallelLinear
from benchmark.training.losses import click_cvr_loss, ctr_loss
from benchmark.training.method import Method
from benchmark.training.modules.experts import GroupedExperts


class STEMNet(Method):
    r"""Let every task read all embeddings, and teach only its own and the shared ones.

    With encodings :math:`x_k` of task k and :math:`x_s` from separate tables, experts :math:`f_i`
    that read their owner's, tower :math:`h_k`, and clicked rows O of impressions D:

    .. math:: z_k = h_k(\sum_i \mathrm{softmax}(W_k (x_k + x_s))_i f_i^{(k)}), \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    The gate is "all forward, task-specific backward": :math:`f_i^{(k)}` is without gradient if
    expert i is another task's (stop-gradient), so that no task disturbs another's embeddings.

    Evidence: gate, stops and numbers of experts verified in the authors' code.

    Differs from the paper: an expert is one hidden layer and a gate linear; tasks and weight ours.
    """

    name = "STEM-Net"
    citation = """
    @inproceedings{su2024stem,
      title     = {{STEM}: Unleashing the Power of Embeddings for Multi-Task Recommendation},
      author    = {Su, Liangcai and Pan, Junwei and Wang, Ximei and Xiao, Xi and Quan, Shijie
                   and Chen, Xihua and Jiang, Jie},
      booktitle = {AAAI},
      year      = {2024},
      doi       = {10.1609/aaai.v38i8.28749},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "own_experts": IntDistribution(1, 4),
        "shared_experts": IntDistribution(1, 4),
        "cvr_weight": FloatDistribution(0.1, 10, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        own_experts: int = 1,
        shared_experts: int = 1,
        cvr_weight: float = 1.0,
    ) -> None:
        super().__init__(blueprint)
        self.own_backbones = nn.ModuleList(blueprint.backbone() for _ in range(2))
        counts, width = (own_experts, own_experts, shared_experts), self.backbone.width
        self.experts = GroupedExperts(blueprint, counts, width)
        self.gates = ParallelLinear(2, width, sum(counts))
        self.towers = blueprint.towers(2, self.experts.width)
        self.cvr_weight = cvr_weight

    def forward(self, features: Features) -> Prediction:
        encodings = torch.stack([b(features) for b in (*self.own_backbones, self.backbone)])
        outputs = self.experts(encodings)
        weights = self.gates(encodings[:2] + encodings[2]).softmax(2)
        taught = weights.masked_fill(self.experts.foreign[:2].unsqueeze(1), 0)
        mixed = torch.einsum("kbe,ebd->kbd", taught, outputs)
        mixed = mixed + torch.einsum("kbe,ebd->kbd", weights - taught, outputs.detach())
        ctr, cvr = map(Probability.from_logit, self.towers(mixed))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return ctr_loss(prediction, batch) + self.cvr_weight * click_cvr_loss(prediction, batch)
