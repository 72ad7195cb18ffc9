"""Cross-stitch: a CTR and a CVR network that learn how much to read from each other."""

from __future__ import annotations

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor, nn

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import click_cvr_loss, ctr_loss
from benchmark.training.method import Method


class CrossStitch(Method):
    r"""Mix the hidden activations of the two towers after each layer, linearly.

    With activations :math:`h_k` of task k in one layer, clicked rows O of impressions D, and a
    matrix :math:`\alpha` per layer that starts as :math:`\alpha_{kk} = a, \alpha_{kl} = 1 - a`:

    .. math:: h_k \leftarrow \sum_l \alpha_{kl} h_l, \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    At :math:`\alpha = 1` on the diagonal, these are separate towers on the shared embedding. The
    CVR is trained on clicks alone, hence as biased as the naive one but for what it shares.

    Evidence: the unit by summaries that agree; the default a = 0.9 from memory; the paper is about
    images.

    Differs from the paper: one unit per layer, not per channel, trained at the common learning
    rate; tasks and their weight are ours.
    """

    name = "Cross-stitch"
    citation = """
    @inproceedings{misra2016cross,
      title     = {Cross-Stitch Networks for Multi-task Learning},
      author    = {Misra, Ishan and Shrivastava, Abhinav and Gupta, Abhinav and Hebert, Martial},
      booktitle = {CVPR},
      year      = {2016},
      doi       = {10.1109/CVPR.2016.433},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "own_share": FloatDistribution(0.5, 1),
        "cvr_weight": FloatDistribution(0.1, 10, log=True),
    }

    def __init__(
        self, blueprint: Blueprint, *, own_share: float = 0.9, cvr_weight: float = 1.0
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(2, self.backbone.width)
        start = torch.tensor([[own_share, 1 - own_share], [1 - own_share, own_share]])
        self.stitches = nn.Parameter(start.repeat(len(blueprint.tower), 1, 1))
        self.cvr_weight = cvr_weight

    def forward(self, features: Features) -> Prediction:
        hidden, stitches = self.backbone(features), iter(self.stitches)
        for layer in self.towers.layers:
            hidden = layer(hidden)
            if isinstance(layer, nn.ReLU):
                hidden = torch.einsum("kl,lbd->kbd", next(stitches), hidden)
        ctr, cvr = map(Probability.from_logit, hidden.squeeze(2).unbind(0))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return ctr_loss(prediction, batch) + self.cvr_weight * click_cvr_loss(prediction, batch)
