"""Learning the CVR while conversions still come in: weighted clicks, and what the weights need."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from benchmark.training.batch import Batch, Features, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.delays.schedule import Schedule
from benchmark.training.losses import over_clicks
from benchmark.training.method import Cvr


class DelayedFeedback(Cvr):
    """Fit the CVR to labels as known on arrival, with a weight for each click.

    A subclass says when clicks arrive, and how much one weighs.
    """

    requires = frozenset({"click", "delay"})

    @abstractmethod
    def schedule(self) -> Schedule:
        """Return when clicks arrive."""

    def weights(self, cvr: Probability, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the weights (B,) of each click, were its label on arrival 1, and were it 0."""
        return torch.ones_like(cvr.log), torch.ones_like(cvr.log)

    def loss(self, batch: Batch) -> Tensor:
        """Return the weighted mean of e(r, r̂) over clicks; no weight carries a gradient."""
        cvr = self(batch.features).cvr
        with torch.no_grad():
            if_converted, if_not = self.weights(cvr, batch)
        weights = torch.where(batch.conversion > 0, if_converted, if_not)
        return over_clicks(weights * cvr.cross_entropy(batch.conversion), batch)


class Heads(nn.Module):
    """Probabilities of what happens after a click, from an encoder of their own.

    With ``timed``, they depend on a time (B,) too.
    """

    def __init__(self, blueprint: Blueprint, count: int, *, timed: bool = False) -> None:
        super().__init__()
        self.backbone = blueprint.backbone()
        self.towers = blueprint.towers(count, self.backbone.width + timed)

    def forward(self, features: Features, *time: Tensor) -> tuple[Probability, ...]:
        """Return one probability (B,) per head."""
        columns = (column.unsqueeze(1) for column in time)
        encoding = torch.cat([self.backbone(features), *columns], 1)
        return tuple(map(Probability.from_logit, self.towers(encoding)))


def times(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return ``elapsed`` and ``delay`` of a batch of arrivals."""
    if batch.elapsed is None or batch.delay is None:
        raise ValueError("this loss needs times, which only a method with a schedule is given")
    return batch.elapsed, batch.delay


def matured(batch: Batch) -> Tensor:
    """Return 1 for clicks whose attribution window has closed, 0 for other rows, (B,)."""
    elapsed, _ = times(batch)
    return batch.clicked * (elapsed >= 1)


def mean_over(rows: Tensor, values: Tensor) -> Tensor:
    """Return the mean of the values (B,) over rows marked 1, 0 if there is none."""
    return (rows * values).sum() / rows.sum().clamp_min(1)
