r"""Two encodings: A for the CVR, and B that serves the propensity alone and is kept apart from A.

The click is o, the conversion r, the encodings of an impression are a and b, and the predictions
are r̂(a) and p(a, b). What moves clicks but not conversions has its place in b.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction
from benchmark.training.blueprint import Blueprint
from benchmark.training.hyperparameters import tuned
from benchmark.training.losses import ctr_loss, over_clicks
from benchmark.training.method import Method


class Disentangled(Method):
    """Learn clicks from both encodings and pay for what these share, beside a risk of the CVR.

    A subclass states the risk, by which the propensity is a constant.
    """

    requires = frozenset({"impression", "click"})

    propensity_weight: float = tuned(0.5, low=0.05, high=10)
    disentangling_weight: float
    norm_weight: float
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def build(self, blueprint: Blueprint) -> None:
        """Make the second encoder, and a tower for each prediction."""
        self.other = blueprint.backbone()
        self.cvr_tower = blueprint.towers(1, self.backbone.width)
        self.ctr_tower = blueprint.towers(1, self.backbone.width + self.other.width)

    def encode(self, features: Features) -> tuple[Tensor, Tensor]:
        """Return a and b, (B, width) each."""
        return self.backbone(features), self.other(features)

    def heads(self, a: Tensor, b: Tensor) -> Prediction:
        """Predict the CVR from a, and the CTR from a and b."""
        (cvr,) = self.cvr_tower.probabilities(a)
        (ctr,) = self.ctr_tower.probabilities(torch.cat([a, b], 1))
        return Prediction(cvr=cvr, ctr=ctr)

    def forward(self, features: Features) -> Prediction:
        """Predict CTR and CVR."""
        return self.heads(*self.encode(features))

    def propensity_loss(self, prediction: Prediction, a: Tensor, b: Tensor, batch: Batch) -> Tensor:
        """Return the weighted loss of clicks and the penalties on what is shared and on norms."""
        squares = torch.cat([a, b], 1).square().mean(1)
        norms = squares.mean() + over_clicks(squares, batch)
        penalties = self.disentangling_weight * shared(a, b, batch) + self.norm_weight * norms
        return self.propensity_weight * ctr_loss(prediction, batch) + penalties


def shared(a: Tensor, b: Tensor, batch: Batch) -> Tensor:
    """Return the mean square entry of mean(a bᵀ) plus that of mean(o a bᵀ), both over all rows."""
    clicked = batch.clicked.unsqueeze(1) * a
    crossed = torch.stack([a.T @ b, clicked.T @ b]) / len(a)
    return crossed.square().mean((1, 2)).sum()
