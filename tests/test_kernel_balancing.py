"""Weights that balance kernels: their loss, the risks they give, and what they learn."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from helpers.gradients import gradients
from helpers.worlds import blueprint, doubled, make_batch, schema, simulate
from torch import Tensor, nn

from benchmark import registry
from benchmark.training.batch import Batch, Features
from benchmark.training.losses import cvr_errors
from benchmark.training.method import Method
from benchmark.training.modules import chosen_kernels

ROWS = 40
FUNNEL = doubled(make_batch(schema(), ROWS))
NAMES = ("kbips", "kbdr", "akbips", "akbdr", "wkbips", "wkbdr")
RIGHT = (1.5, -0.5)  # of the world's propensities
CLICKED = (math.log1p(math.exp(2.5)) - math.log1p(math.exp(-3.5))) / 6  # share of σ(1.5x - 0.5)


class Line(nn.Module):
    """Stands in for a network: a logit linear in the feature of the world, which it encodes."""

    def __init__(self, slope: float, intercept: float) -> None:
        super().__init__()
        weights = torch.tensor([slope, intercept], dtype=torch.float64)
        self.weights, self.backbone = nn.Parameter(weights), lambda features: features.dense

    def forward(self, features: Features) -> Tensor:
        return self.weights[0] * features.dense.squeeze(1) + self.weights[1]


def build(name: str, **hyperparameters: Any) -> Any:
    torch.manual_seed(0)
    method = registry.load("methods", name, Method)(blueprint(schema()), **hyperparameters)
    return method.double().eval()


def in_world(propensity: tuple[float, float], weigher: Line, **hyperparameters: Any) -> Any:
    method = build("kbips", propensity_floor=1e-3, **hyperparameters)
    method.predictor, method.weigher = Line(-0.5, -0.3), weigher
    method.propensity.network = Line(*propensity)
    return method


@torch.no_grad()
def plain_weights(method: Any, batch: Batch) -> list[float]:
    """Return w of every click."""
    v, p = method.weigher(batch.features), method.propensity(batch.features).value()
    clicks = batch.clicked.nonzero().squeeze(1).tolist()
    return [float(v[i].sigmoid()) / max(float(p[i]), method.propensity_floor) for i in clicks]


@pytest.mark.parametrize("tolerance", [1e-4, 1e-1])
def test_loss_of_weights_agrees_with_plain_arithmetic(tolerance: float) -> None:
    method = build("kbdr", kernels=2, balance_weight=7.0, tolerance=tolerance)
    x = method.propensity.network.backbone(FUNNEL.features).detach()
    squares = [[float((x[j] - row).square().sum()) for row in x] for j in range(2)]
    scale = sum(map(sum, squares)) / (2 * ROWS)
    kernel = [sum(math.exp(-squares[j][i] / scale) for j in range(2)) for i in range(ROWS)]
    clicks, w = FUNNEL.clicked.nonzero().squeeze(1).tolist(), plain_weights(method, FUNNEL)
    weighted = sum(a * kernel[i] for a, i in zip(w, clicks, strict=True)) / len(w)
    gap = abs(sum(kernel) / ROWS - weighted)
    assert gap > 0.1
    expected = sum(a * math.log(a) for a in w) / len(w) + 7 * (gap - tolerance)
    loss = method.weight_loss(method(FUNNEL.features), FUNNEL)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_risks_are_means_over_clicks_of_weighted_errors(name: str) -> None:
    method = build(name, propensity_floor=0.2)
    logit = method.propensity.network(FUNNEL.features).detach()
    method.propensity.platt = torch.stack([1 / logit.std(), -2 - logit.mean() / logit.std()])
    prediction, clicked = method(FUNNEL.features), FUNNEL.clicked > 0
    floored = prediction.ctr.value()[clicked] < 0.2
    assert floored.any()
    assert not floored.all()
    w = torch.tensor(plain_weights(method, FUNNEL), dtype=torch.float64)
    errors = cvr_errors(prediction, FUNNEL)
    if name.endswith("ips"):
        expected = (w * errors[clicked]).mean()
    else:
        imputed = method.imputed_errors(prediction, FUNNEL)
        gap = (errors - imputed)[clicked]
        expected = imputed.mean() + (w * gap).mean()
        found = method.imputation_loss(prediction, FUNNEL)
        torch.testing.assert_close(found, (w * gap.square()).mean(), rtol=1e-9, atol=0)
    torch.testing.assert_close(method.loss(FUNNEL), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("propensity", [RIGHT, (0.4, 0.3)])
def test_only_the_right_density_balances_kernels(propensity: tuple[float, float]) -> None:
    """It is the share of clicks over the propensity."""
    method = in_world(propensity, Line(0, math.log(CLICKED / (1 - CLICKED))))
    gaps = []
    for seed in range(20):
        _, logged, _, _ = simulate(2_000, seed)
        kernel = method.summed_kernels(logged)
        inverse = method.inverse(method(logged.features), logged)
        gaps.append(((1 - inverse) * kernel).mean())
    values = torch.stack(gaps)
    errors = values.mean().abs() / (values.std() / math.sqrt(len(gaps)))
    assert errors < 3 if propensity == RIGHT else errors > 5


def test_weights_learn_to_balance() -> None:
    _, logged, _, _ = simulate(1_000, seed=0)
    weigher = Line(0.0, 0.0)
    method = in_world((0.0, -1.4), weigher, balance_weight=100.0)

    def gap() -> float:
        kernel = method.summed_kernels(logged)
        inverse = method.inverse(method(logged.features), logged)
        return abs(float(((1 - inverse) * kernel).mean()))

    optimizer, start = torch.optim.Adam(weigher.parameters(), lr=0.02), gap()
    for _ in range(150):
        step = next(method.updates(logged))
        assert step.module is weigher
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
    assert start > 0.5
    assert gap() < 0.05


def test_without_balance_the_entropy_alone_wants_one_weight_for_all() -> None:
    method = in_world((0.0, 0.0), Line(0, -math.log(2 * math.e - 1)), balance_weight=0.0)
    _, logged, _, _ = simulate(500, seed=0)
    loss = method.weight_loss(method(logged.features), logged)
    assert loss.item() == pytest.approx(-1 / math.e, rel=1e-12)
    (slope,) = gradients(loss, [method.weigher.weights])
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_weights_learn_in_their_own_step_and_are_constants_in_the_others(name: str) -> None:
    method = build(name)
    networks = {key: list(part.parameters()) for key, part in method.named_children()}
    del networks["backbone"]  # the predictor's
    taught = []
    for step in method.updates(FUNNEL):
        learns = {k: any(g.any() for g in gradients(step.loss, own)) for k, own in networks.items()}
        assert learns.pop(next(key for key in learns if getattr(method, key) is step.module))
        assert not any(learns.values())
        taught.append(step.module)
    order = ["weigher", *["imputer"] * name.endswith("dr"), "predictor"]
    assert taught == [getattr(method, key) for key in order]


# --- kernels chosen for what they tell of the errors


def plain_kernels(method: Any) -> Tensor:
    """Return all candidates, (K, B)."""
    x = method.propensity.network.backbone(FUNNEL.features).detach()
    squares = torch.stack([(x - row).square().sum(1) for row in x[: method.candidates]])
    return (-squares / squares.mean()).exp()


@pytest.mark.parametrize("name", NAMES[2:4])
def test_coefficients_are_those_of_a_weighted_ridge_regression(name: str) -> None:
    method = build(name, candidates=8)
    kernels, prediction = plain_kernels(method), method(FUNNEL.features)
    errors = cvr_errors(prediction, FUNNEL)
    if name == "akbdr":
        errors = errors - method.imputed_errors(prediction, FUNNEL)
    weights = FUNNEL.clicked / prediction.ctr.value().clamp_min(method.propensity_floor)
    ridge = 1e-3 * (kernels.square() @ weights).mean()
    inputs = torch.cat([weights.sqrt() * kernels, ridge.sqrt() * torch.eye(8).double()], 1).T
    target = torch.cat([weights.sqrt() * errors, torch.zeros(8).double()])
    expected = torch.linalg.lstsq(inputs.detach(), target.detach().unsqueeze(1)).solution
    found = method.coefficients(kernels, FUNNEL).detach()
    torch.testing.assert_close(found, expected.squeeze(1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", NAMES[2:4])
def test_kernels_that_explain_the_errors_are_balanced(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen_kernels, "RIDGE", 1e-12)
    method = build(name, candidates=8, kernels=2)
    kernels = plain_kernels(method)
    method.residuals = lambda prediction, batch: 3 * kernels[5] - 4 * kernels[2] + 0.1 * kernels[0]
    found = method.summed_kernels(FUNNEL)
    torch.testing.assert_close(found, kernels[2] + kernels[5], rtol=1e-9, atol=0)


# --- kernels chosen for how far they are out of balance


@pytest.mark.parametrize("name", NAMES[4:])
def test_no_function_of_the_kernels_is_further_out_of_balance(name: str) -> None:
    method = build(name, candidates=8)
    kernels, w = plain_kernels(method), torch.tensor(plain_weights(method, FUNNEL)).double()
    gaps = kernels.mean(1) - (kernels[:, FUNNEL.clicked > 0] @ w) / len(w)
    ridge = 1e-3 * kernels.square().mean()

    def imbalance(c: Tensor) -> float:
        return float(
            (gaps @ c).square() / ((c @ kernels).square().mean() + ridge * c.square().sum())
        )

    worst = method.coefficients(kernels, FUNNEL).detach()
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(50, 8, generator=generator, dtype=torch.float64) * worst.abs().mean()
    assert all(imbalance(worst + 0.01 * step) < imbalance(worst) for step in steps)
    assert all(imbalance(step) < imbalance(worst) for step in steps)


@pytest.mark.parametrize("name", NAMES[4:])
def test_kernels_of_the_worst_function_are_balanced(name: str) -> None:
    method = build(name, candidates=8, kernels=2)
    kernels = plain_kernels(method)
    method.coefficients = lambda kernels, batch: torch.tensor([1.0, 0, -9, 0, 0, 5, 0, 3])
    torch.testing.assert_close(method.summed_kernels(FUNNEL), kernels[2] + kernels[5])
