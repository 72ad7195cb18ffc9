"""The mathematics of methods that differ in what they compose along the funnel, or weigh in it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.worlds import FixedLogits, blueprint, make_batch, rows_of, schema
from torch import Tensor

from benchmark import registry
from benchmark.training.batch import Batch, Prediction, Probability
from benchmark.training.method import Method

ROWS = 400
FUNNEL = make_batch(schema(), ROWS)
CLICKS = make_batch(schema("clicks with behaviours"), ROWS)
CTR = float(FUNNEL.clicked.double().mean())
CVR = float(FUNNEL.conversion.double().sum()) / float(FUNNEL.clicked.sum())


def build(name: str, **hyperparameters: Any) -> Method:
    torch.manual_seed(0)
    method = registry.load("methods", name, Method)(blueprint(schema()), **hyperparameters)
    return method.double().eval()


def with_logits(name: str, *towers: Tensor, **hyperparameters: Any) -> Method:
    """Return a method whose towers give the stated logits."""
    method = build(name, **hyperparameters)
    names = [key for key, module in method.named_children() if "tower" in key]
    if len(names) == 1:
        method.towers = FixedLogits(*towers)
    else:
        for key, logit in zip(names, towers, strict=True):
            setattr(method, key, FixedLogits(logit))
    return method


def logits(count: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(count)
    made = 2 * torch.randn(count, ROWS, dtype=torch.float64, generator=generator)
    return tuple(logit.requires_grad_() for logit in made.unbind(0))


def assert_same(one: Probability | None, other: Probability | None) -> None:
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one.log, other.log, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.log_not, other.log_not, rtol=1e-12, atol=1e-12)


def assert_equal_losses(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def behaviours(batch: Batch) -> Tensor:
    """Return the labels micro and macro, (2, B)."""
    assert batch.micro is not None
    assert batch.macro is not None
    return torch.stack([batch.micro, batch.macro])


# --- a conditional probability from a joint one


def test_given_undoes_and() -> None:
    condition, step = map(Probability.from_logit, logits(2))
    assert_same((condition & step).given(condition), step)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_given_stays_below_one_and_finite(dtype: torch.dtype) -> None:
    corners = torch.cartesian_prod(*[torch.tensor([-50.0, -1e-3, 1e-3, 50], dtype=dtype)] * 2)
    corners.requires_grad_()
    joint, condition = map(Probability.from_logit, corners.unbind(1))
    step = joint.given(condition)
    for value in (step.log, step.log_not):
        assert value.isfinite().all()
        assert (value < 0).all()
    exact = torch.log(-torch.expm1(step.log.double())).to(dtype)
    torch.testing.assert_close(step.log_not, exact, rtol=1e-6, atol=1e-10)
    (gradient,) = torch.autograd.grad((step.log + step.log_not).sum(), corners)
    assert gradient.isfinite().all()
    contradictory = joint.log >= condition.log
    assert contradictory.any()
    assert (step.value()[contradictory] > 1 - 2e-6).all()
    assert not gradient[contradictory].any()


# --- other graphs of the same behaviours


def swapped(batch: Batch) -> Batch:
    return replace(batch, micro=batch.macro, macro=batch.micro)


@pytest.mark.parametrize("batch", [FUNNEL, CLICKS], ids=["impressions", "clicks"])
def test_reversed_hierarchy_is_the_hierarchy_with_roles_swapped(batch: Batch) -> None:
    towers = logits(6)
    reverse = with_logits("hm3_r", *towers, micro_weight=0.3, macro_weight=5.0)
    forward = with_logits("hm3", *towers, micro_weight=5.0, macro_weight=0.3)
    mine, theirs = reverse(batch.features), forward(batch.features)
    pairs = (("ctr", "ctr"), ("micro", "macro"), ("macro", "micro"), ("cvr", "cvr"))
    for one, other in pairs:
        assert_same(getattr(mine, one), getattr(theirs, other))
    assert_equal_losses(reverse.loss(batch), forward.loss(swapped(batch)))


def test_union_without_micro_is_the_macro_behaviour_alone() -> None:
    towers = logits(4)
    union = with_logits("esm2_micro", *towers, action_weight=0.3)
    macro = with_logits("esm2", *towers, macro_weight=0.3)
    none = replace(FUNNEL, micro=torch.zeros(ROWS))
    assert_equal_losses(union.loss(none), macro.loss(none))
    assert not union.loss(FUNNEL).isclose(macro.loss(FUNNEL))
    assert_same(union(FUNNEL.features).cvr, macro(FUNNEL.features).cvr)


def test_union_does_not_tell_micro_from_macro() -> None:
    union = build("esm2_micro")
    assert_equal_losses(union.loss(FUNNEL), union.loss(swapped(FUNNEL)))


# --- the likelihood of whole paths


def path_probabilities(towers: tuple[Tensor, ...]) -> dict[tuple[int, ...], Tensor]:
    """Return P(micro, macro, conversion | click) of all eight paths, by plain arithmetic."""
    _, y2, y3, y4, y5, y6 = (logit.sigmoid() for logit in towers)

    def step(probability: Tensor, label: int) -> Tensor:
        return probability if label else 1 - probability

    return {
        (m, a, r): step(y2, m) * step(y3 if m else y5, a) * step(y4 if a else y6, r)
        for m, a, r in itertools.product((0, 1), repeat=3)
    }


@pytest.mark.parametrize("batch", [FUNNEL, CLICKS], ids=["impressions", "clicks"])
def test_joint_loss_is_the_cross_entropy_of_the_enumerated_paths(batch: Batch) -> None:
    towers = logits(6)
    click = torch.ones_like(towers[0]) if batch.click is None else towers[0].sigmoid()
    after_click = path_probabilities(towers)
    outcomes = torch.stack([1 - click, *(click * path for path in after_click.values())], 1)
    torch.testing.assert_close(outcomes.sum(1), torch.ones_like(click), rtol=1e-12, atol=0)
    micro, macro = behaviours(batch)
    taken = 1 + 4 * micro + 2 * macro + batch.conversion
    taken = (taken * batch.clicked).long()
    expected = torch.nn.functional.nll_loss(outcomes.log(), taken)
    assert_equal_losses(with_logits("hm3_joint", *towers).loss(batch), expected)


def test_joint_model_composes_as_the_hierarchy_does() -> None:
    towers = logits(6)
    joint, marginal = (with_logits(name, *towers)(FUNNEL.features) for name in ("hm3_joint", "hm3"))
    for name in ("ctr", "micro", "macro", "cvr"):
        assert_same(getattr(joint, name), getattr(marginal, name))
    paths = path_probabilities(towers)
    by_path = torch.stack([p for (_, _, r), p in paths.items() if r]).sum(0)
    torch.testing.assert_close(joint.cvr.value(), by_path, rtol=1e-12, atol=0)


def test_joint_loss_tells_heads_apart_that_marginals_do_not() -> None:
    """Two models with the same P(macro | click), of which one knows that micro matters."""
    y1, _, _, y4, _, y6 = logits(6)
    half, low, high = (torch.full_like(y1, p).logit() for p in (0.5, 0.1, 0.9))
    relevant, irrelevant = (y1, half, high, y4, low, y6), (y1, half, half, y4, half, y6)
    marginal = [with_logits("hm3", *towers).loss(FUNNEL) for towers in (relevant, irrelevant)]
    assert_equal_losses(*marginal)
    joint = [with_logits("hm3_joint", *towers).loss(FUNNEL) for towers in (relevant, irrelevant)]
    assert not joint[0].isclose(joint[1])


def test_each_head_learns_where_its_step_was_observed() -> None:
    towers = logits(6)
    gradients = torch.autograd.grad(with_logits("hm3_joint", *towers).loss(FUNNEL), towers)
    o, (m, a) = FUNNEL.clicked, behaviours(FUNNEL)
    observed = (torch.ones(ROWS), o, o * m, o * a, o * (1 - m), o * (1 - a))
    for gradient, where in zip(gradients, observed, strict=True):
        assert (gradient != 0).equal(where == 1)


# --- weights, and predictions corrected for them


def test_one_copy_is_no_oversampling() -> None:
    (cvr,) = logits(1)
    one, naive = with_logits("oversampling", cvr, copies=1), with_logits("naive", cvr)
    assert_same(one(FUNNEL.features).cvr, naive(FUNNEL.features).cvr)
    assert_equal_losses(one.loss(FUNNEL), naive.loss(FUNNEL))


def test_weights_equal_copies() -> None:
    (cvr,) = logits(1)
    repeats = 1 + 3 * (FUNNEL.clicked * FUNNEL.conversion).long()
    rows = torch.arange(ROWS).repeat_interleave(repeats)
    copied = with_logits("naive", cvr[rows]).loss(rows_of(FUNNEL, rows))
    assert_equal_losses(with_logits("oversampling", cvr, copies=4).loss(FUNNEL), copied)


def stationary(name: str, rate: float, **hyperparameters: Any) -> Prediction:
    """Return a constant prediction, once the loss is seen to be least at this output rate."""
    constant = torch.tensor(rate, dtype=torch.float64).logit().requires_grad_()
    method = with_logits(name, constant.expand(ROWS), **hyperparameters)
    (slope,) = torch.autograd.grad(method.loss(FUNNEL), constant)
    assert slope.abs() < 1e-8  # labels are single precision
    prediction = method(FUNNEL.features)
    assert isinstance(prediction, Prediction)
    return prediction


@pytest.mark.parametrize("copies", [2, 5, 20])
def test_correction_of_oversampling_recovers_the_true_rate(copies: int) -> None:
    inflated = copies * CVR / (copies * CVR + 1 - CVR)
    prediction = stationary("oversampling", inflated, copies=copies)
    torch.testing.assert_close(
        prediction.cvr.value(), torch.full((ROWS,), CVR, dtype=torch.float64), rtol=1e-12, atol=0
    )
    assert inflated > CVR


@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_unclicked_negatives_lower_the_best_prediction(weight: float) -> None:
    best = CTR * CVR / (CTR + weight * (1 - CTR))
    stationary("unclicked_negative", best, negative_weight=weight)
    stationary("naive", CVR)
    assert best < 0.95 * CVR
    if weight == 1:
        assert best == pytest.approx(CTR * CVR, rel=1e-12)


# --- quotients of two models


def test_quotient_is_cut_where_the_models_contradict_each_other() -> None:
    ctr, ctcvr = logits(2)
    for name in ("division", "aitm"):
        prediction = with_logits(name, ctr, ctcvr)(FUNNEL.features)
        plain = ctcvr.sigmoid() / ctr.sigmoid()
        found = prediction.cvr.value()
        torch.testing.assert_close(found, plain.clamp_max(1), rtol=1e-12, atol=1e-6)
        assert (plain > 1).any()
        assert (plain < 1).any()


def test_certain_clicks_leave_the_ctcvr() -> None:
    _, ctcvr = logits(2)
    certain = torch.full_like(ctcvr, 800)
    division = with_logits("division", certain, ctcvr)
    negatives = with_logits("unclicked_negative", ctcvr)
    assert_same(division(FUNNEL.features).cvr, negatives(FUNNEL.features).cvr)
    everything = replace(FUNNEL, click=torch.ones(ROWS))
    assert_equal_losses(division.loss(everything), negatives.loss(everything))


def test_without_its_calibrator_transfer_learns_what_division_does() -> None:
    ctr, ctcvr = logits(2)
    loss = with_logits("aitm", ctr, ctcvr, calibrator_weight=0.0).loss(FUNNEL)
    assert_equal_losses(loss, with_logits("division", ctr, ctcvr).loss(FUNNEL))


def test_divided_models_share_nothing() -> None:
    method = build("division")
    no_sales = replace(FUNNEL, conversion=torch.zeros(ROWS))
    found = [gradients_of(method, batch) for batch in (FUNNEL, no_sales)]
    changed = {key for key in found[0] if not found[0][key].equal(found[1][key])}
    assert changed
    assert all(key.startswith("ctcvr") for key in changed)
    assert len(changed) == sum(key.startswith("ctcvr") for key in found[0])


def gradients_of(method: Method, batch: Batch) -> dict[str, Tensor]:
    parameters = dict(method.named_parameters())
    found = torch.autograd.grad(method.loss(batch), list(parameters.values()))
    return dict(zip(parameters, found, strict=True))


def test_calibrator_is_paid_only_where_the_order_is_broken() -> None:
    ctr, ctcvr = logits(2)
    ordered, broken = torch.minimum(ctr, ctcvr), torch.maximum(ctr, ctcvr + 1e-3)
    for joint, free in ((ctr, True), (ordered, True), (ctcvr, False), (broken, False)):
        with_weight, without = (
            with_logits("aitm", ctr, joint, calibrator_weight=w).loss(FUNNEL) for w in (2.0, 0.0)
        )
        excess = (joint.sigmoid() - ctr.sigmoid()).clamp_min(0).mean()
        torch.testing.assert_close(with_weight - without, 2 * excess, rtol=1e-9, atol=1e-14)
        assert (excess == 0) == free
