"""A conversion model with a latent variable, learned on clicks and asked about every row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmark.training.batch import Batch, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import over_clicks
from benchmark.training.method import Update

KL_WEIGHT = 0.5


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) ‖ N(0, 1)) per row, summed over the dimensions."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2


def top_share(scores: Tensor, batch: Batch) -> Tensor:
    """Return 1 on the k rows of highest score and 0 on the rest, of a whole batch.

    k is the number of conversions times the whole number of impressions per click: about as many
    as would have converted, had the rest converted like the clicks.
    """
    clicks, conversions = batch.clicked.sum(), (batch.clicked * batch.conversion).sum()
    k = conversions * torch.floor(len(scores) / clicks.clamp_min(1))
    return (scores.argsort(descending=True).argsort() < k).to(scores.dtype)


class LatentPrior(nn.Module):
    """A CVR f(x, z) of an encoding x and a latent z, and a variational autoencoder of x and r.

    The autoencoder only reads the encoding, which f shapes. Out of training mode, latents are
    their means and nothing is drawn.
    """

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__()
        self.backbone = blueprint.backbone()
        width = self.backbone.width
        self.towers = blueprint.towers(1, 2 * width)
        self.encoder = blueprint.shared_tower(2 * width, width + 1)
        self.decoder = blueprint.shared_tower(width + 1, width)

    def updates(self, batch: Batch) -> Iterator[Update]:
        """Yield one step."""
        yield Update(self.loss(batch), self)

    @torch.no_grad()
    def imagine(self, batch: Batch) -> Batch:
        """Return the batch had all else been clicked: the rows that f ranks highest convert.

        Its parts are frozen for it; in training mode the latents are drawn nonetheless.
        """
        for module in self.children():
            module.eval()
        return replace(batch, click=1 - batch.clicked, conversion=top_share(self(batch), batch))

    def forward(self, batch: Batch) -> Tensor:
        """Return f's logits (B,) under the average posterior of the batch's clicks."""
        encoding = self.backbone(batch.features)
        mean, log_variance = self._posterior(self._seen(encoding, batch))
        clicked = batch.clicked.unsqueeze(1)
        clicks = clicked.sum().clamp_min(1)
        mean = (clicked * mean).sum(0) / clicks
        deviation = (clicked * (log_variance / 2).exp()).sum(0) / clicks
        return self._logits(encoding, self._draw(mean.expand_as(encoding), deviation))

    def loss(self, batch: Batch) -> Tensor:
        """Return, over clicks, f's cross entropy under z ~ N(0, 1) plus the autoencoder's loss."""
        encoding = self.backbone(batch.features)
        latent = self._draw(torch.zeros_like(encoding), torch.ones_like(encoding))
        cvr = Probability.from_logit(self._logits(encoding, latent))
        seen = self._seen(encoding, batch)
        mean, log_variance = self._posterior(seen)
        rebuilt = self.decoder(self._draw(mean, (log_variance / 2).exp()))
        distortion = (rebuilt - seen).square().sum(1)
        errors = cvr.cross_entropy(batch.conversion) + distortion
        return over_clicks(errors + KL_WEIGHT * gaussian_kl(mean, log_variance), batch)

    def _logits(self, encoding: Tensor, latent: Tensor) -> Tensor:
        (logit,) = self.towers(torch.cat([encoding, latent], 1))
        return logit

    def _seen(self, encoding: Tensor, batch: Batch) -> Tensor:
        return torch.cat([encoding.detach(), batch.conversion.unsqueeze(1)], 1)

    def _posterior(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(seen).chunk(2, 1)
        return mean, log_variance

    def _draw(self, mean: Tensor, deviation: Tensor) -> Tensor:
        return mean + deviation * torch.randn_like(mean) if self.training else mean
