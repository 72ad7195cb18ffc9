"""MMoE: CTR and CVR as two tasks on experts that each task mixes by a gate of its own."""

from __future__ import annotations

from optuna.distributions import FloatDistribution, IntDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint, ParallelLinear
from benchmark.training.losses import click_cvr_loss, ctr_loss
from benchmark.training.method import Method


class MMoE(Method):
    r"""Share experts between the tasks, weighted per task and impression by a softmax gate.

    With encoding x, experts :math:`f_i`, the gate :math:`W_k` and tower :math:`h_k` of task k,
    clicked rows O of impressions D, click o and conversion r:

    .. math:: z_k = h_k(\sum_i \mathrm{softmax}(W_k x)_i f_i(x)), \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    The CVR is trained on clicks alone, hence as biased as the naive one but for what it shares
    with the CTR. There is no CTCVR loss.

    Evidence: architecture verified in public code; the paper is not about CVR.

    Differs from the paper: an expert is one hidden layer below the benchmark's towers, which makes
    this method one layer deeper than the others; tasks and their weight are ours.
    """

    name = "MMoE"
    citation = """
    @inproceedings{ma2018modeling,
      title     = {Modeling Task Relationships in Multi-task Learning with Multi-gate
                   Mixture-of-Experts},
      author    = {Ma, Jiaqi and Zhao, Zhe and Yi, Xinyang and Chen, Jilin and Hong, Lichan
                   and Chi, Ed H.},
      booktitle = {KDD},
      year      = {2018},
      doi       = {10.1145/3219819.3220007},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "experts": IntDistribution(2, 8),
        "cvr_weight": FloatDistribution(0.1, 10, log=True),
    }

    def __init__(self, blueprint: Blueprint, *, experts: int = 8, cvr_weight: float = 1.0) -> None:
        super().__init__(blueprint)
        self.gates = ParallelLinear(2, self.backbone.width, experts)
        self.experts, width = blueprint.experts(experts, self.backbone.width)
        self.towers = blueprint.towers(2, width)
        self.cvr_weight = cvr_weight

    def forward(self, features: Features) -> Prediction:
        encoding = self.backbone(features)
        gates = self.gates(encoding).softmax(2).transpose(1, 2)  # (task, expert, row)
        mixed = (gates.unsqueeze(3) * self.experts(encoding)).sum(1)
        ctr, cvr = map(Probability.from_logit, self.towers(mixed))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return ctr_loss(prediction, batch) + self.cvr_weight * click_cvr_loss(prediction, batch)
