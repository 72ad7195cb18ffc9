"""Kernels to balance that are chosen, batch by batch, among Gaussian ones around impressions.

The click is o, the frozen propensity p, the weight w, and k is a kernel.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import pad

from benchmark.training.batch import Batch, Prediction
from benchmark.training.hyperparameters import tuned
from benchmark.training.losses import click_weights, cvr_errors
from benchmark.training.modules.balancing import KernelBalancing

RIDGE = 1e-3  # of the mean diagonal entry; kernels around close impressions are nearly the same


class ChosenKernels(KernelBalancing):
    """Balance the kernels with the largest coefficients in place of random ones."""

    candidates: int = tuned(32, low=8, high=256)

    @abstractmethod
    def coefficients(self, kernels: Tensor, batch: Batch) -> Tensor:
        """Return the coefficients (K,) of kernels (K, B); only their sizes matter."""

    @torch.no_grad()
    def summed_kernels(self, batch: Batch) -> Tensor:
        """Return the sum of the chosen kernels, (B,), of the widths that random ones have."""
        encoding = self.propensity.network.backbone(batch.features)
        squares = torch.cdist(encoding[: self.candidates], encoding).square()
        scale = squares.mean().clamp_min(torch.finfo(squares.dtype).tiny)
        kernels = (-squares / scale).exp()
        chosen = self.coefficients(kernels, batch).abs().topk(min(self.kernels, len(kernels)))
        return kernels[chosen.indices].sum(0)


class AdaptiveKernels(ChosenKernels):
    """Choose the kernels that explain the residuals, which are what weights multiply in the risk.

    The coefficients are those of a ridge regression of residuals on kernels, weighted by
    o / max(p, floor): they tell by which kernels an imbalance would bias the risk most.
    """

    def residuals(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return what weights multiply in the risk, (B,): here e(r, r̂) - e(r̃, r̂)."""
        return cvr_errors(prediction, batch) - self.imputed_errors(prediction, batch)

    def coefficients(self, kernels: Tensor, batch: Batch) -> Tensor:
        """Return the coefficients of the regression, 0 without a click."""
        prediction = self(batch.features)
        weights = click_weights(prediction, batch, self.propensity_floor).sqrt()
        q, r = _factors(weights * kernels)
        target = pad(weights * self.residuals(prediction, batch), (0, len(kernels)))
        return torch.linalg.solve_triangular(r, q.T @ target.unsqueeze(1), upper=True).squeeze(1)


class WorstKernels(ChosenKernels):
    """Choose the kernels whose sum is furthest out of balance, in units of its mean square.

    The coefficients maximise (g'c)² / (c'Mc), with the imbalances g = mean k - mean_o w k of the
    kernels and the matrix M of their mean products over all impressions, with a ridge: they are
    those of M⁻¹ g.
    """

    def coefficients(self, kernels: Tensor, batch: Batch) -> Tensor:
        """Return the coefficients of the worst function."""
        weights = self.inverse(self(batch.features), batch)
        gaps = (kernels * (1 - weights)).mean(1, keepdim=True)
        _, r = _factors(kernels)  # whose scale the choice does not depend on
        half = torch.linalg.solve_triangular(r.T, gaps, upper=False)
        return torch.linalg.solve_triangular(r, half, upper=True).squeeze(1)


def _factors(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return Q and R of the columns (B, K) over the root of a ridge, which ask a GPU for no value.

    R'R is the matrix of the products of the rows (K, B), with the ridge on its diagonal.
    """
    ridge = (RIDGE * rows.square().sum(1).mean()).clamp_min(torch.finfo(rows.dtype).tiny).sqrt()
    ridges = ridge * torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
    q, r = torch.linalg.qr(torch.cat([rows, ridges], 1).T)
    return q, r
