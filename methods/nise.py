"""NISE: what was not clicked is unlabelled, and the CVR's own prediction is its label."""

from __future__ import annotations

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctr_loss, cvr_errors
from benchmark.training.method import Method


class NISE(Method):
    r"""Add to the CVR loss on clicks the entropy of the CVR where nothing was clicked.

    With click o, conversion r, predictions :math:`\hat o, \hat r`, e the cross entropy and means
    over all impressions:

    .. math:: L_r = \mathrm{mean}(o \, e(r, \hat r) + (1 - o) \, e(\hat r, \hat r)), \quad
              L_o = \mathrm{mean}\, e(o, \hat o), \quad
              L = L_o + \alpha \min(L_o / L_r, \beta) L_r

    The ratio is taken without gradient, the paper's only stop-gradient: it sets how fast the CVR
    learns, not what. The pseudo-label is not detached, hence :math:`e(\hat r, \hat r)` has the
    gradient :math:`\log((1 - \hat r) / \hat r)` and draws a CVR below a half to 0; detached, its
    gradient would be exactly 0. There is no CTCVR loss.

    Evidence: paper and the authors' published code read; both state the above.

    Differs from the paper: plain towers on the shared embedding; its :math:`\alpha = 1` and
    :math:`\beta = 50` are tuned; tower sizes are the benchmark's.
    """

    name = "NISE"
    citation = """
    @inproceedings{huang2024utilizing,
      title     = {Utilizing Non-click Samples via Semi-supervised Learning for Conversion Rate
                   Prediction},
      author    = {Huang, Jiahui and Zhang, Lan and Wang, Junhao and Jiang, Shanyang
                   and Huang, Dongbo and Ding, Cheng and Xu, Lan},
      booktitle = {RecSys},
      year      = {2024},
      doi       = {10.1145/3640457.3688151},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "cvr_weight": FloatDistribution(0.1, 10, log=True),
        "largest_ratio": FloatDistribution(1, 100, log=True),
    }

    def __init__(
        self, blueprint: Blueprint, *, cvr_weight: float = 1.0, largest_ratio: float = 50.0
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(2, self.backbone.width)
        self.cvr_weight = cvr_weight
        self.largest_ratio = largest_ratio

    def forward(self, features: Features) -> Prediction:
        ctr, cvr = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        click_loss = ctr_loss(prediction, batch)
        entropy = prediction.cvr.cross_entropy(prediction.cvr.value())
        clicked = batch.clicked
        cvr_loss = (clicked * cvr_errors(prediction, batch) + (1 - clicked) * entropy).mean()
        smallest = torch.finfo(cvr_loss.dtype).tiny
        ratio = (click_loss / cvr_loss.clamp_min(smallest)).detach().clamp_max(self.largest_ratio)
        return click_loss + self.cvr_weight * ratio * cvr_loss
