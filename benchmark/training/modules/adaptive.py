r"""Kernels to balance that are chosen, batch by batch, for what they tell of the errors.

The click is o, the frozen propensity p, and the residual of a row is what its weight multiplies in
the risk. A ridge regression of residuals, weighted by o / max(p, floor), on Gaussian kernels around
candidate impressions tells by which kernels an imbalance would bias the risk most.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from benchmark.training.batch import Batch, Prediction
from benchmark.training.hyperparameters import tuned
from benchmark.training.losses import click_weights, cvr_errors
from benchmark.training.modules.balancing import KernelBalancing

RIDGE = 1e-3  # of the mean diagonal entry; kernels around close impressions are nearly the same


class AdaptiveKernels(KernelBalancing):
    """Balance the kernels with the largest coefficients in place of random ones."""

    candidates: int = tuned(32, low=8, high=256)

    def residuals(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return what weights multiply in the risk, (B,): here e(r, r̂) - e(r̃, r̂)."""
        return cvr_errors(prediction, batch) - self.imputed_errors(prediction, batch)

    @torch.no_grad()
    def summed_kernels(self, batch: Batch) -> Tensor:
        """Return the sum of the chosen kernels, (B,), of the widths that random ones have."""
        encoding = self.propensity.network.backbone(batch.features)
        squares = torch.cdist(encoding[: self.candidates], encoding).square()
        scale = squares.mean().clamp_min(torch.finfo(squares.dtype).tiny)
        kernels = (-squares / scale).exp()
        chosen = self.coefficients(kernels, batch).abs().topk(min(self.kernels, len(kernels)))
        return kernels[chosen.indices].sum(0)

    def coefficients(self, kernels: Tensor, batch: Batch) -> Tensor:
        """Return the coefficients (K,) of the residuals on kernels (K, B), 0 without a click."""
        prediction, count = self(batch.features), len(kernels)
        weights = click_weights(prediction, batch, self.propensity_floor).sqrt()
        weighted = weights * kernels
        tiny = torch.finfo(weighted.dtype).tiny
        ridge = (RIDGE * weighted.square().sum(1).mean()).clamp_min(tiny).sqrt()
        ridges = ridge * torch.eye(count, dtype=weighted.dtype, device=weighted.device)
        q, r = torch.linalg.qr(torch.cat([weighted, ridges], 1).T)  # asks a GPU for no value
        target = pad(weights * self.residuals(prediction, batch), (0, count))
        return torch.linalg.solve_triangular(r, q.T @ target.unsqueeze(1), upper=True).squeeze(1)
