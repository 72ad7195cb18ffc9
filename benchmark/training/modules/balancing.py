r"""Weights of clicks that balance kernels between clicks and all impressions.

The click is o, the frozen propensity p, and the weight w = sigmoid(v) / max(p, floor) of a click
is learned. It stands for the density of impressions over that of clicks: the mean over clicks of
w f is to be the mean over all impressions of f.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from benchmark.training.batch import Batch, Prediction
from benchmark.training.blueprint import Blueprint
from benchmark.training.hyperparameters import tuned
from benchmark.training.losses import cvr_errors, over_clicks
from benchmark.training.method import Update
from benchmark.training.modules.doubly_robust import DoublyRobust, Network, PropensityModel


class KernelBalancing(DoublyRobust):
    """Learn the weights in a step of their own before each step of the other networks."""

    calibrate = False
    kernels: int = tuned(3, low=1, high=30)
    balance_weight: float = tuned(1.0, low=0.1, high=100)
    tolerance: float

    def build(self, blueprint: Blueprint) -> None:
        """Add the network of the weights."""
        super().build(blueprint)
        self.weigher = Network(blueprint.backbone(), blueprint)

    def log_weights(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return log w, (B,), with gradient in the network of the weights alone."""
        assert prediction.ctr is not None
        propensity = prediction.ctr.value().detach().clamp_min(self.propensity_floor)
        return logsigmoid(self.weigher(batch.features)) - propensity.log()

    def inverse(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return o w over the share of clicks, (B,), without gradient: means over clicks of w."""
        weights = self.log_weights(prediction, batch).detach().exp()
        return batch.clicked * weights * len(weights) / batch.clicked.sum().clamp_min(1)

    def weight_loss(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return the mean over clicks of w log w, and the price of what w leaves out of balance."""
        log = self.log_weights(prediction, batch)
        entropy = over_clicks(log.exp() * log, batch)
        kernel = self.summed_kernels(batch)
        gap = kernel.mean() - over_clicks(log.exp() * kernel, batch)
        return entropy + self.balance_weight * (gap.abs() - self.tolerance).clamp_min(0)

    @torch.no_grad()
    def summed_kernels(self, batch: Batch) -> Tensor:
        """Return the sum of Gaussian kernels around the first rows of a batch, (B,).

        Distances are those of the propensity's encodings, their mean square in a batch being 1.
        The order of the rows is random, hence the choice of centres.
        """
        encoding = self.propensity.network.backbone(batch.features)
        squares = torch.cdist(encoding[: self.kernels], encoding).square()
        scale = squares.mean().clamp_min(torch.finfo(squares.dtype).tiny)
        return (-squares / scale).exp().sum(0)

    def updates(self, batch: Batch) -> Iterator[Update]:
        """Yield a step of the weights, and then those of the other networks."""
        self.propensity.eval()
        yield Update(self.weight_loss(self(batch.features), batch), self.weigher)
        yield from super().updates(batch)


class WithoutImputation(KernelBalancing):
    """Weigh errors of clicks alone, as inverse propensities do: two networks learn in turn."""

    def build(self, blueprint: Blueprint) -> None:
        """Add the networks of the prediction, the propensity and the weights."""
        self.predictor = Network(self.backbone, blueprint)
        self.propensity = PropensityModel(blueprint)
        self.weigher = Network(blueprint.backbone(), blueprint)

    def residuals(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return what weights multiply in the risk, (B,): the errors."""
        return cvr_errors(prediction, batch)

    def risk(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return the mean over clicks of the weighted errors."""
        return (self.inverse(prediction, batch) * cvr_errors(prediction, batch)).mean()

    def updates(self, batch: Batch) -> Iterator[Update]:
        """Yield a step of the weights, and then one of the prediction."""
        self.propensity.eval()
        prediction = self(batch.features)
        yield Update(self.weight_loss(prediction, batch), self.weigher)
        yield Update(self.risk(prediction, batch), self.predictor)
