r"""Doubly robust learning with pseudo-labels: networks for prediction, imputation and propensity.

The click is o, the conversion r, the prediction r̂, the propensity p, and the pseudo-label of the
imputation r̃. Errors are e = e(r, r̂), imputed errors ê = e(r̃, r̂), and inverse propensities
u = o / max(p, floor). Each network is a constant in the losses of the others: no gradient flows
from one to another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Backbone, Blueprint
from benchmark.training.hyperparameters import tuned
from benchmark.training.losses import click_weights, cvr_errors, doubly_robust_risk
from benchmark.training.method import Method, Phase, Update


class Network(nn.Module):
    """Combine a backbone with one tower of its own."""

    def __init__(self, backbone: Backbone, blueprint: Blueprint) -> None:
        super().__init__()
        self.backbone = backbone
        self.towers = blueprint.towers(1, backbone.width)

    def forward(self, features: Features) -> Tensor:
        """Return the logits (B,)."""
        (logit,) = self.towers(self.backbone(features))
        return logit


class PropensityModel(nn.Module):
    """Predict P(click | impression) = sigmoid(a · logit + b); at first, a = 1 and b = 0."""

    platt: Tensor
    information: Tensor

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__()
        self.network = Network(blueprint.backbone(), blueprint)
        self.register_buffer("platt", torch.tensor([1.0, 0.0]))
        self.register_buffer("information", torch.eye(2))

    def forward(self, features: Features) -> Probability:
        """Return the propensities (B,)."""
        scale, shift = self.platt
        return Probability.from_logit(scale * self.network(features) + shift)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean cross entropy of clicks over impressions."""
        return self(batch.features).cross_entropy(batch.clicked).mean()

    @torch.no_grad()
    def calibrate(self, batch: Batch) -> None:
        """Move a and b by one online Newton step towards the clicks of a batch (Platt scaling).

        The information of the batches accumulates, so that steps shrink and one pass over the data
        comes close to the maximum of the likelihood. It starts at the information of a unit prior
        around a = 1, b = 0.
        """
        logit = self.network(batch.features)
        inputs = torch.stack([logit, torch.ones_like(logit)], 1)
        propensity = (inputs @ self.platt).sigmoid()
        variance = (propensity * (1 - propensity)).unsqueeze(1)
        self.information += inputs.T @ (variance * inputs)
        score = inputs.T @ (batch.clicked - propensity)
        step, _ = torch.linalg.solve_ex(self.information, score)  # asks a GPU for no error
        self.platt += step


def learned_click_weights(prediction: Prediction, batch: Batch, floor: float) -> Tensor:
    """Return o / max(p, floor), (B,), with gradient, for losses that train the propensity."""
    if prediction.ctr is None:
        raise ValueError("these weights need a method that predicts the CTR")
    return batch.clicked / prediction.ctr.log.exp().clamp_min(floor)


class DoublyRobust(Method):
    """Train a prediction by its doubly robust risk, in turn with the imputation of its errors.

    The propensity model is trained first and then frozen. Each batch takes one step of the
    imputation and one of the prediction. A subclass may replace the weights u of the imputation,
    or the risk.
    """

    requires = frozenset({"impression", "click"})

    propensity_epochs: int = tuned(2, low=1, high=3, log=False)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)
    calibrate: bool = tuned(False, choices=(False, True))

    def build(self, blueprint: Blueprint) -> None:
        """Make the three networks; the prediction's encoder is the common one."""
        self.predictor = Network(self.backbone, blueprint)
        self.imputer = Network(blueprint.backbone(), blueprint)
        self.propensity = PropensityModel(blueprint)

    def imputation_weights(self, inverse: Tensor) -> Tensor:
        """Return the weights w of (e - ê)² from u, (B,): here u itself."""
        return inverse

    def forward(self, features: Features) -> Prediction:
        """Predict the CVR, and as CTR the propensity."""
        cvr = Probability.from_logit(self.predictor(features))
        return Prediction(cvr=cvr, ctr=self.propensity(features))

    def loss(self, batch: Batch) -> Tensor:
        """Return the risk of the prediction."""
        return self.risk(self(batch.features), batch)

    def risk(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return the loss of the prediction network."""
        imputed = self.imputed_errors(prediction, batch)
        inverse = self.inverse(prediction, batch)
        return doubly_robust_risk(cvr_errors(prediction, batch), imputed, inverse)

    def imputation_loss(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return the mean over impressions of w (e(r, r̂) - e(r̃, r̂))²; r̂ is a constant."""
        cvr, pseudo_label = prediction.cvr.detach(), self.imputer(batch.features).sigmoid()
        gap = cvr.cross_entropy(batch.conversion) - cvr.cross_entropy(pseudo_label)
        weights = self.imputation_weights(self.inverse(prediction, batch))
        return (weights * gap.square()).mean()

    def imputed_errors(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return e(r̃, r̂) of every row, (B,); r̃ is a constant."""
        return prediction.cvr.cross_entropy(self.imputer(batch.features).sigmoid().detach())

    def inverse(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return u, (B,), without gradient."""
        return click_weights(prediction, batch, self.propensity_floor)

    def updates(self, batch: Batch) -> Iterator[Update]:
        """Yield a step of the imputation, then one of the prediction."""
        self.propensity.eval()  # frozen, hence without dropout
        prediction = self(batch.features)
        yield Update(self.imputation_loss(prediction, batch), self.imputer)
        yield Update(self.risk(prediction, batch), self.predictor)

    def warm_up(self) -> Sequence[Phase]:
        """Train the propensity model; if ``calibrate`` is set, calibrate it in one more pass."""
        fit = Phase(self.propensity_epochs, self._fit_propensity)
        return (fit, Phase(1, self._calibrate)) if self.calibrate else (fit,)

    def _fit_propensity(self, batch: Batch) -> Iterator[Update]:
        yield Update(self.propensity.loss(batch), self.propensity)

    def _calibrate(self, batch: Batch) -> Iterator[Update]:
        self.propensity.eval()
        self.propensity.calibrate(batch)
        yield from ()


class VarianceReduced(DoublyRobust):
    """Minimise the variance of the risk by the imputation, as MRDR does.

    With ``double_learning``, each epoch copies the prediction network into the imputation network
    at its start.
    """

    double_learning: bool = tuned(True, choices=(False, True))

    def start_epoch(self) -> None:
        """Copy the prediction network in double learning."""
        if self.double_learning:
            self.imputer.load_state_dict(self.predictor.state_dict())

    def imputation_weights(self, inverse: Tensor) -> Tensor:
        """Return o (1 - p) / p² from u, (B,)."""
        return inverse * (inverse - 1)
