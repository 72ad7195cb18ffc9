"""Shared-Bottom: CTR and CVR as two towers on one hidden layer."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import click_cvr_loss, ctr_loss
from benchmark.training.method import Method


class SharedBottom(Method):
    r"""Share the first hidden layer between the tasks.

    With encoding x, shared layer f, tower :math:`h_k` of task k, clicked rows O of impressions D,
    click o and conversion r:

    .. math:: z_k = h_k(f(x)), \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    The CVR is trained on clicks alone, hence as biased as the naive one but for what it shares
    with the CTR. There is no CTCVR loss.

    Evidence: architecture verified in public code; the paper is not about CVR.

    Differs from the paper: the bottom is one hidden layer below the benchmark's towers, the depth
    of an expert in MMoE; tasks and their weight are ours.
    """

    name = "Shared-Bottom"
    citation = """
    @article{caruana1997multitask,
      title     = {Multitask Learning},
      author    = {Caruana, Rich},
      journal   = {Machine Learning},
      year      = {1997},
      doi       = {10.1023/A:1007379606734},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {"cvr_weight": FloatDistribution(0.1, 10, log=True)}

    def __init__(self, blueprint: Blueprint, *, cvr_weight: float = 1.0) -> None:
        super().__init__(blueprint)
        self.bottom, width = blueprint.experts(1, self.backbone.width)
        self.towers = blueprint.towers(2, width)
        self.cvr_weight = cvr_weight

    def forward(self, features: Features) -> Prediction:
        (shared,) = self.bottom(self.backbone(features))
        ctr, cvr = map(Probability.from_logit, self.towers(shared))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return ctr_loss(prediction, batch) + self.cvr_weight * click_cvr_loss(prediction, batch)
