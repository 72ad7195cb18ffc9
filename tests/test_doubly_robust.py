"""Doubly robust learning: its weights, its risks where the truth is known, its steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.plugins import method_module
from helpers.worlds import blueprint, make_batch, schema, simulate
from torch import Tensor, nn

from benchmark import registry
from benchmark.training.batch import Features, Probability
from benchmark.training.losses import ctcvr_loss, cvr_errors, doubly_robust_risk
from benchmark.training.method import Method, Update
from benchmark.training.trainer import Updates, train_batch

FROZEN = ("dr_jl", "mrdr", "dr_bias", "dr_mse", "tdr")
LEARNING = ("stable_dr", "mrdr_gpl")  # propensities, in steps of their own
NETWORKS = ("imputer", "propensity", "predictor")
FUNNEL = make_batch(schema(), 64)

Logit = tuple[float, float]  # slope and intercept in the one feature of the world
RIGHT, WRONG = (1.5, -0.5), (0.4, 0.3)  # of propensities
EXACT, FALSE = (1.2, -1.0), (-0.8, 0.5)  # of pseudo-labels


class Stub(nn.Module):
    """Stands in for a network: a logit that is a function of the feature of the world."""

    def __init__(self, logit: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.logit = logit

    def forward(self, features: Features) -> Tensor:
        return self.logit(features.dense.squeeze(1))


def line(logit: Logit) -> Stub:
    return Stub(lambda x: logit[0] * x + logit[1])


def build(name: str, **hyperparameters: Any) -> Any:
    torch.manual_seed(0)
    return registry.load("methods", name, Method)(blueprint(schema()), **hyperparameters)


def in_world(name: str, propensity: Logit, imputation: Logit) -> Any:
    """Return a method with the world's prediction, and other networks right or wrong."""
    method = build(name, propensity_floor=1e-3).double()
    method.predictor, method.imputer = line((-0.5, -0.3)), line(imputation)
    method.propensity.network = line(propensity)
    return method


# --- weights of the imputation

WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "dr_jl": lambda p: 1 / p,
    "mrdr": lambda p: (1 - p) / p**2,
    "mrdr_gpl": lambda p: (1 - p) / p**2,
    "dr_bias": lambda p: (1 - p) ** 2 / p**3,
    "dr_mse": lambda p: 0.5 * (1 - p) ** 2 / p**3 + 0.5 * (1 - p) / p**2,
    "stable_dr": lambda p: 1 / p,
    "tdr": lambda p: 1 / p,
    "dr_v2": lambda p: 1 / p,
}
PROPENSITIES = torch.linspace(0.01, 1, 100, dtype=torch.float64)


def weights_at(p: Tensor, name: str, **hyperparameters: float) -> Tensor:
    weights: Tensor = build(name, **hyperparameters).imputation_weights(1 / p)
    return weights


@pytest.mark.parametrize("name", WEIGHTS)
def test_imputation_weights_are_those_of_the_papers(name: str) -> None:
    weights = weights_at(PROPENSITIES, name)
    torch.testing.assert_close(weights, WEIGHTS[name](PROPENSITIES), rtol=1e-9, atol=1e-12)
    assert (weights >= 0).all()
    assert weights_at(torch.tensor(0.5), name).item() == 2
    assert weights_at(torch.tensor(math.inf), name).item() == 0  # not clicked: u = 0


def test_mixed_weights_end_at_those_against_variance_and_bias() -> None:
    for share, end in ((0.0, "mrdr"), (1.0, "dr_bias")):
        mixed = weights_at(PROPENSITIES, "dr_mse", bias_weight=share)
        assert mixed.equal(weights_at(PROPENSITIES, end))


def test_imputation_against_variance_estimates_the_variance_of_the_risk() -> None:
    generator = torch.Generator().manual_seed(0)
    rows, draws = 50, 20_000
    p = 0.1 + 0.8 * torch.rand(rows, dtype=torch.float64, generator=generator)
    errors, imputed = torch.rand(2, rows, dtype=torch.float64, generator=generator)
    inverse = torch.bernoulli(p.expand(draws, rows), generator=generator) / p
    risks = torch.stack([doubly_robust_risk(errors, imputed, u) for u in inverse])
    weighted = build("mrdr").imputation_weights(inverse) * (errors - imputed).square()
    variance = ((1 - p) / p * (errors - imputed).square()).mean().item()
    assert rows * risks.var().item() == pytest.approx(variance, rel=0.04)
    assert weighted.mean().item() == pytest.approx(variance, rel=0.02)


# --- risks in a world where the truth is known: 30 draws of 10 000 impressions


def standard_errors(draws: list[Tensor]) -> float:
    """Return how many standard errors the mean of the draws is off 0."""
    values = torch.stack(draws)
    return float(values.mean().abs() / (values.std() / math.sqrt(len(values))))


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("imputation", [EXACT, FALSE])
@pytest.mark.parametrize("propensity", [RIGHT, WRONG])
def test_risk_is_unbiased_if_either_model_is_right(
    name: str, propensity: Logit, imputation: Logit
) -> None:
    """The self-normalised risk needs propensities that meet its constraint, as right ones do."""
    method, gaps = in_world(name, propensity, imputation), []
    for seed in range(30):
        truth, logged, everywhere, _ = simulate(10_000, seed)
        risk = method.risk(method(logged.features), logged)
        gaps.append(risk - cvr_errors(truth, everywhere).mean())
    unbiased = propensity == RIGHT or (imputation == EXACT and name != "stable_dr")
    assert standard_errors(gaps) < 3 if unbiased else standard_errors(gaps) > 5


@pytest.mark.parametrize("name", ["dr_jl", "tdr"])
def test_perfect_imputation_leaves_nothing_to_correct(name: str) -> None:
    truth, logged, everywhere, _ = simulate(2_000, seed=0)
    method = in_world(name, WRONG, FALSE)
    method.imputer = Stub(lambda _: 800 * (2 * everywhere.conversion - 1))
    full = cvr_errors(truth, everywhere).mean()
    torch.testing.assert_close(method.loss(logged), full, rtol=1e-12, atol=0)
    assert method.imputation_loss(method(logged.features), logged).item() == 0


def test_risk_and_imputation_in_terms_of_labels() -> None:
    """As e is linear in its label, the risk is the cross entropy of a doubly robust label."""
    _, logged, _, _ = simulate(2_000, seed=0)
    method = in_world("dr_jl", RIGHT, FALSE)
    prediction, pseudo_label = method(logged.features), method.imputer(logged.features).sigmoid()
    inverse, residual = method.inverse(prediction, logged), logged.conversion - pseudo_label
    risk = prediction.cvr.cross_entropy(pseudo_label + inverse * residual).mean()
    torch.testing.assert_close(method.loss(logged), risk, rtol=1e-12, atol=0)
    logit = prediction.cvr.log - prediction.cvr.log_not
    brier = (inverse * (residual * logit).square()).mean()
    imputation = method.imputation_loss(prediction, logged)
    torch.testing.assert_close(imputation, brier, rtol=1e-9, atol=0)


# --- self-normalised, targeted and balanced


def test_self_normalised_risk_is_bounded_where_the_doubly_robust_one_explodes() -> None:
    _, logged, _, _ = simulate(2_000, seed=0)
    logit = logged.clicked.clone()
    logit[logit.nonzero()[0]] = -20  # one click of propensity 2e-9
    for name in ("stable_dr", "dr_jl"):
        method = in_world(name, RIGHT, FALSE)
        method.propensity.network, method.propensity_floor = Stub(lambda _: logit), 0
        largest = cvr_errors(method(logged.features), logged).max()
        assert bool(method.loss(logged).abs() <= largest) == (name == "stable_dr")


def test_self_normalised_risk_is_doubly_robust_but_for_its_constraint() -> None:
    _, logged, _, _ = simulate(2_000, seed=0)
    method = in_world("stable_dr", WRONG, FALSE)
    prediction = method(logged.features)
    inverse, imputed = (f(prediction, logged) for f in (method.inverse, method.imputed_errors))
    residual = (inverse * (cvr_errors(prediction, logged) - imputed)).sum() / inverse.sum()
    slack = method.constraint(prediction, logged) / inverse.mean()
    expected = imputed.mean() + residual - slack
    torch.testing.assert_close(method.loss(logged), expected, rtol=1e-12, atol=0)
    assert abs(slack.item()) > 0.01


@pytest.mark.parametrize("propensity", [RIGHT, WRONG])
def test_targeting_solves_its_equation_and_balances_clicks(propensity: Logit) -> None:
    _, logged, _, _ = simulate(2_000, seed=0)
    method, slope = in_world("tdr", propensity, FALSE), torch.tensor(-0.5, requires_grad=True)
    method.predictor = Stub(lambda x: slope * x - 0.3)
    prediction, clicked = method(logged.features), logged.clicked
    errors, beta = cvr_errors(prediction, logged), 1 / prediction.ctr.value() - 1
    imputed = method.imputed_errors(prediction, logged)
    targeted = method.targeted_errors(prediction, logged)
    assert (clicked * beta * (errors - imputed)).sum().abs() > 1
    assert (clicked * beta * (errors - targeted)).sum().item() == pytest.approx(0, abs=1e-9)
    factor = ((1 - clicked) * beta).sum() / (clicked * beta.square()).sum()
    weights = clicked * (1 + factor * beta)
    torch.testing.assert_close((weights * beta).sum(), beta.sum(), rtol=1e-12, atol=0)
    plug_in = (clicked * errors + (1 - clicked) * targeted).mean()
    risks = [method.loss(logged), plug_in, doubly_robust_risk(errors, imputed, weights)]
    slopes = [torch.autograd.grad(risk, slope, retain_graph=True)[0] for risk in risks]
    for risk, gradient in zip(risks, slopes, strict=True):
        torch.testing.assert_close(risk, risks[0], rtol=1e-12, atol=0)
        torch.testing.assert_close(gradient, slopes[0], rtol=1e-5, atol=0)


@pytest.mark.parametrize("propensity", [RIGHT, WRONG])
@pytest.mark.parametrize("function", [torch.ones_like, torch.sigmoid, torch.sin])
def test_only_right_propensities_balance_a_function_of_the_features(
    function: Callable[[Tensor], Tensor], propensity: Logit
) -> None:
    means = []
    for seed in range(30):
        truth, logged, _, _ = simulate(5_000, seed)
        ctr = Probability.from_logit(line(propensity)(logged.features))
        weights = method_module("dr_v2").balancing_weights(replace(truth, ctr=ctr), logged, 1e-3)
        means.append((weights * function(logged.features.dense.squeeze(1))).mean())
    assert standard_errors(means) < 3 if propensity == RIGHT else standard_errors(means) > 5


def test_joint_loss_adds_to_the_alternate_ones() -> None:
    weights = {"ctcvr_weight": 2.0, "cvr_weight": 3.0, "balance_weight": 4.0}
    joint = build("dr_v2", imputation_weight=0.5, **weights)
    apart = build("dr_jl")
    apart.load_state_dict(joint.state_dict())
    imputation, risk = (update.loss for update in apart.updates(FUNNEL))
    prediction, clicked = joint(FUNNEL.features), FUNNEL.clicked
    p = prediction.ctr.value()
    balance = ((clicked / p - (1 - clicked) / (1 - p)) * prediction.cvr.value()).mean()
    extras = 2 * ctcvr_loss(prediction, FUNNEL) + 4 * balance**2
    expected = apart.propensity.loss(FUNNEL) + 0.5 * imputation + 3 * risk + extras
    torch.testing.assert_close(joint.loss(FUNNEL), expected)


def test_cyclic_propensities_pay_for_their_constraint() -> None:
    method = build("stable_dr", constraint_weight=1e7)
    _, propensity, _ = (update.loss for update in method.updates(FUNNEL))
    penalty = 1e7 * method.constraint(method(FUNNEL.features), FUNNEL) ** 2
    torch.testing.assert_close(propensity, method.propensity.loss(FUNNEL) + penalty)
    assert penalty > 0.1 * propensity


def test_generalised_propensities_pay_for_bias_and_variance_over_clicks() -> None:
    method = build("mrdr_gpl", bias_weight=0.7, variance_weight=0.3, propensity_floor=1e-3)
    prediction, o = method(FUNNEL.features), FUNNEL.clicked
    p, gap = prediction.ctr.value(), cvr_errors(prediction, FUNNEL)
    gap = (gap - method.imputed_errors(prediction, FUNNEL)).square()
    bias = (o - 2 * o * p + p.square()) * o * gap / p.square()
    expected = method.propensity.loss(FUNNEL) + (0.7 * bias + 0.3 * o * gap / p.square()).mean()
    found = method.propensity_loss(prediction, FUNNEL)
    torch.testing.assert_close(found, expected)
    parameters = list(method.predictor.parameters()) + list(method.imputer.parameters())
    learned = torch.autograd.grad(found, parameters, allow_unused=True)
    assert not any(gradient is not None for gradient in learned)


# --- steps


def state(method: Any, network: str) -> list[Tensor]:
    return [value.clone() for value in getattr(method, network).state_dict().values()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def adam(method: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(method.parameters(), lr=0.01, weight_decay=0.1)


def only(update: Update) -> Updates:
    return lambda _: iter([update])


@pytest.mark.parametrize("name", [*FROZEN, *LEARNING, "kbdr"])
def test_a_step_moves_its_own_network_only(name: str) -> None:
    method = build(name)
    optimizer, moved = adam(method), []
    for update in method.updates(FUNNEL):
        before = {network: state(method, network) for network in NETWORKS}
        train_batch(optimizer, only(update), FUNNEL)
        moved += [key for key, value in before.items() if not same(value, state(method, key))]
    assert moved == [key for key in NETWORKS if name in LEARNING or key != "propensity"]


@pytest.mark.parametrize("calibrate", [False, True])
@pytest.mark.parametrize("name", FROZEN)
def test_propensities_are_frozen_once_prepared(name: str, *, calibrate: bool) -> None:
    method = build(name, calibrate=calibrate)
    optimizer, start = adam(method), state(method, "propensity")
    for phase in method.warm_up():
        train_batch(optimizer, phase.updates, FUNNEL)
    prepared = state(method, "propensity")
    assert not same(start, prepared)
    for _ in range(3):
        train_batch(optimizer, method.train().updates, FUNNEL)
    assert not any(part.training for part in method.propensity.modules())  # hence no dropout
    assert same(prepared, state(method, "propensity"))


@pytest.mark.parametrize("name", [*FROZEN, *LEARNING, "dr_v2", "kbdr"])
@pytest.mark.parametrize(("loss", "own"), [("risk", "predictor"), ("imputation_loss", "imputer")])
def test_what_networks_pass_on_carries_no_gradient(name: str, loss: str, own: str) -> None:
    method = build(name)
    value = getattr(method, loss)(method(FUNNEL.features), FUNNEL)
    for key in NETWORKS:
        parameters = list(getattr(method, key).parameters())
        found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        assert any(gradient is not None for gradient in found) == (key == own)


@pytest.mark.parametrize("double_learning", [False, True])
def test_double_learning_starts_an_epoch_from_the_prediction(*, double_learning: bool) -> None:
    method = build("mrdr", double_learning=double_learning)
    prediction = state(method, "predictor")
    method.start_epoch()
    assert same(state(method, "predictor"), prediction)
    assert same(state(method, "imputer"), prediction) == double_learning
