"""Propensity weights that sum to 1 over a batch, and losses on labels of unclicked rows."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.training.batch import Batch, Prediction
from benchmark.training.losses import click_weights, cvr_errors, no_click_weights


def self_normalised(weights: Tensor) -> Tensor:
    """Return non-negative weights (B,) divided by their sum; all 0 stay 0."""
    return weights / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)


def snips_loss(prediction: Prediction, batch: Batch, floor: float) -> Tensor:
    """Return the sum of o · e(r, r̂) / ô over that of o / ô, 0 if nothing was clicked.

    Consistent for the mean of e(r, r̂) over impressions if the propensities are right up to a
    common factor; on a finite batch its bias is of the order of one over the number of clicks.
    """
    weights = self_normalised(click_weights(prediction, batch, floor))
    return (weights * cvr_errors(prediction, batch)).sum()


def unclicked_loss(prediction: Prediction, batch: Batch, label: Tensor, floor: float) -> Tensor:
    """Return the mean of (1 - o) · e(label, r̂) / (1 - ô) over impressions.

    The soft label (B,) is a constant: what gave it learns nothing from being believed.
    """
    errors = prediction.cvr.cross_entropy(label.detach())
    return (no_click_weights(prediction, batch, floor) * errors).mean()
