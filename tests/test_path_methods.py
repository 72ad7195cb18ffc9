"""HM3-Joint with propensities, with imputed paths, and calibrated: what each reduces to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.gradients import gradients
from helpers.plugins import method_module
from helpers.worlds import FixedLogits, blueprint, doubled, make_batch, rows_of, schema
from test_funnel_methods import logits, path_probabilities
from torch import Tensor

from benchmark import registry
from benchmark.training.batch import Batch, Features, Probability
from benchmark.training.losses import click_weights, ctr_loss, self_normalised
from benchmark.training.method import Method
from benchmark.training.modules.paths import Path, compose, entire_space_loss

ROWS = 400
FUNNEL = doubled(make_batch(schema(), ROWS))
ALL_CLICKED = replace(FUNNEL, click=torch.ones(ROWS, dtype=torch.float64))
CLICKS_ALONE = {"entire_space_weight": 0.0}

with_propensities = pytest.mark.parametrize("name", ["hm3_joint_ips", "hm3_joint_dr"])


def with_logits(name: str, *towers: Tensor, **hyperparameters: Any) -> Any:
    """Return a method whose steps have the given logits; those after the sixth impute."""
    torch.manual_seed(0)
    method: Any = registry.load("methods", name, Method)(blueprint(schema()), **hyperparameters)
    method.double().eval()
    method.towers = FixedLogits(*towers[:6])
    if name == "hm3_joint_dr":
        method.imputing_towers = FixedLogits(*towers[6:])
    return method


def steps_of(towers: tuple[Tensor, ...]) -> tuple[Probability, ...]:
    return tuple(map(Probability.from_logit, towers))


def imputation(towers: tuple[Tensor, ...], batch: Batch, floor: float) -> Tensor:
    """Return the loss of what imputes in the doubly robust method."""
    inverse = click_weights(compose(steps_of(towers[:6])), batch, floor)
    return (self_normalised(inverse) * Path.observed(batch).errors(steps_of(towers[6:]))).sum()


def test_errors_of_imputed_paths_are_expected_ones() -> None:
    predicting, imputing = logits(6), logits(11)[5:]
    predicted, likely = path_probabilities(predicting), path_probabilities(imputing)
    expected = torch.stack([-likely[path] * predicted[path].log() for path in likely]).sum(0)
    found = Path.imputed(steps_of(imputing)[1:]).errors(steps_of(predicting)[1:])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_propensities_of_one_leave_the_joint_likelihood_and_the_losses_everywhere() -> None:
    towers = logits(6)
    weighted = with_logits(
        "hm3_joint_ips", *towers, propensity_floor=1.0, post_click_weight=3.0, entire_space_weight=2
    )
    ctr = FUNNEL.clicked.mean().item()
    joint = with_logits("hm3_joint", *towers, post_click_weight=3.0 / ctr)
    everywhere = entire_space_loss(compose(steps_of(towers)), FUNNEL)
    expected = joint.loss(FUNNEL) + 2 * everywhere
    torch.testing.assert_close(weighted.loss(FUNNEL), expected, rtol=1e-12, atol=0)


def test_losses_everywhere_are_those_of_the_hierarchy() -> None:
    towers = logits(6)
    prediction = compose(steps_of(towers))
    found = ctr_loss(prediction, FUNNEL) + entire_space_loss(prediction, FUNNEL)
    expected = with_logits("hm3", *towers).loss(FUNNEL)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@with_propensities
def test_true_propensities_give_the_likelihood_of_all_paths(name: str) -> None:
    """Half of all impressions are clicked: each row twice, whatever is imputed."""
    half, *others = logits(11)
    towers = tuple(torch.cat([t, t]) for t in (torch.zeros_like(half), *others))
    twice = rows_of(ALL_CLICKED, torch.arange(ROWS).repeat(2))
    logged = replace(twice, click=torch.arange(2 * ROWS, dtype=torch.float64).lt(ROWS).double())
    method = with_logits(name, *towers, **CLICKS_ALONE)
    prediction = compose(steps_of(towers[:6]))
    found = method.loss(logged) - ctr_loss(prediction, logged)
    if name == "hm3_joint_dr":
        found = found - imputation(towers, logged, 0.1)
    every_path = Path.observed(twice).errors(steps_of(towers[1:6])).mean()
    torch.testing.assert_close(found, every_path, rtol=1e-12, atol=0)


@with_propensities
def test_the_click_learns_nothing_from_weights(name: str) -> None:
    towers = logits(11)
    loss = with_logits(name, *towers, **CLICKS_ALONE).loss(FUNNEL)
    (found,) = gradients(loss, [towers[0]])
    (alone,) = gradients(ctr_loss(compose(steps_of(towers[:6])), FUNNEL), [towers[0]])
    torch.testing.assert_close(found, alone, rtol=1e-12, atol=1e-15)


def test_imputation_learns_from_its_own_loss_alone_and_teaches_unclicked_rows() -> None:
    towers = logits(11)
    loss = with_logits("hm3_joint_dr", *towers, **CLICKS_ALONE).loss(FUNNEL)
    own = gradients(imputation(towers, FUNNEL, 0.1), list(towers[6:]))
    for found, expected in zip(gradients(loss, list(towers[6:])), own, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
    unclicked = FUNNEL.clicked == 0
    assert gradients(loss, [towers[1]])[0][unclicked].all()
    weighted = with_logits("hm3_joint_ips", *towers[:6], **CLICKS_ALONE).loss(FUNNEL)
    assert not gradients(weighted, [towers[1]])[0][unclicked].any()


# --- calibrated


def held_out(features: Features) -> Tensor:
    rows: Tensor = method_module("hm3_joint_calibrated").held_out_rows(features)
    return rows


def test_rows_held_out_teach_the_correction_alone_and_others_never_do() -> None:
    towers, held = logits(6), held_out(FUNNEL.features)
    method = with_logits("hm3_joint_calibrated", *towers)
    assert 0 < held.sum() < ROWS / 4
    learned = gradients(method.loss(FUNNEL), list(towers))
    assert not any(gradient[held].any() for gradient in learned)
    assert learned[0][~held].all()
    for rows, teach in ((held, True), (~held, False)):
        part = rows_of(FUNNEL, rows.nonzero().squeeze(1))
        few = with_logits("hm3_joint_calibrated", *(t[rows] for t in towers))
        found = gradients(few.loss(part), [few.log_scale, few.shift])
        assert all(bool(gradient != 0) == teach for gradient in found)


def test_without_rows_held_out_it_is_the_joint_model() -> None:
    rest = (~held_out(FUNNEL.features)).nonzero().squeeze(1)
    towers, batch = tuple(t[rest] for t in logits(6)), rows_of(FUNNEL, rest)
    joint, calibrated = (
        with_logits(name, *towers) for name in ("hm3_joint", "hm3_joint_calibrated")
    )
    torch.testing.assert_close(calibrated.loss(batch), joint.loss(batch), rtol=1e-12, atol=0)
    for stage in ("ctr", "macro", "cvr"):
        one, other = (getattr(m(batch.features), stage) for m in (calibrated, joint))
        torch.testing.assert_close(one.log, other.log, rtol=1e-12, atol=1e-15)


def test_the_correction_is_least_where_weighted_clicks_agree_with_it() -> None:
    """One prediction for all: its best correction has the weighted rate of held-out clicks."""
    constant, held = torch.zeros(ROWS, dtype=torch.float64), held_out(FUNNEL.features)
    method = with_logits("hm3_joint_calibrated", logits(6)[0], *[constant] * 5)
    weights = held * click_weights(method(FUNNEL.features), FUNNEL, method.propensity_floor)
    rate = (weights * FUNNEL.conversion).sum() / weights.sum()
    method.shift.data = rate.logit().detach()
    assert gradients(method.loss(FUNNEL), [method.shift])[0].abs() < 1e-12


def test_a_tenth_is_held_out_by_features_alone_in_any_precision() -> None:
    many = make_batch(schema(), 20_000, seed=3).features
    share = held_out(many).double().mean().item()
    assert share == pytest.approx(0.1, abs=0.01)
    precise = replace(many, dense=many.dense.double())
    assert held_out(precise).equal(held_out(many))
    order = torch.randperm(20_000)
    moved = Features(many.sparse[order], many.dense[order])
    assert held_out(moved).equal(held_out(many)[order])
