"""Information bottlenecks: on the mean CVR of impressions, and on what two parts share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.gradients import gradients
from helpers.worlds import FixedLogits, blueprint, doubled, make_batch, schema
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from benchmark import registry
from benchmark.training.batch import Prediction, Probability
from benchmark.training.losses import click_cvr_loss
from benchmark.training.method import Method

FUNNEL = make_batch(schema(), 64)
LOGIT = 3 * torch.randn(64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def bottleneck(logit: Tensor, **weights: float) -> Any:
    method: Any = registry.load("methods", "cvib", Method)(blueprint(schema()), **weights)
    method.towers = FixedLogits(logit)
    return method


def test_no_penalties_leave_the_naive_loss() -> None:
    naive = click_cvr_loss(Prediction(cvr=Probability.from_logit(LOGIT)), FUNNEL)
    loss = bottleneck(LOGIT, contrast_weight=0.0, confidence_weight=0.0).loss(FUNNEL)
    assert loss.item() == pytest.approx(naive.item(), rel=1e-12)


def test_loss_agrees_with_plain_arithmetic() -> None:
    cvr, clicked = LOGIT.sigmoid(), FUNNEL.clicked == 1
    naive = binary_cross_entropy(cvr[clicked], FUNNEL.conversion[clicked].double())
    contrast = binary_cross_entropy(cvr.mean(), cvr[clicked].mean())
    confidence = (cvr[clicked] * cvr[clicked].log()).mean()
    loss = bottleneck(LOGIT, contrast_weight=0.3, confidence_weight=0.2).loss(FUNNEL)
    expected = naive + 0.3 * contrast + 0.2 * confidence
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("level", [-1.0, 1.0])
def test_contrast_draws_unclicked_rows_towards_the_mean_of_clicks(level: float) -> None:
    logit = torch.where(FUNNEL.clicked == 1, 0.0, level).double().requires_grad_()
    loss = bottleneck(logit, confidence_weight=0.0).loss(FUNNEL)
    (gradient,) = torch.autograd.grad(loss, logit)
    assert (gradient[FUNNEL.clicked == 0] * level > 0).all()


def test_nothing_is_learned_without_clicks() -> None:
    logit = LOGIT.clone().requires_grad_()
    loss = bottleneck(logit).loss(make_batch(schema(), 64, click=0.0))
    (gradient,) = torch.autograd.grad(loss, logit)
    assert loss.item() == 0
    assert gradient.count_nonzero() == 0


# --- two parts of an encoding


def split(**weights: float) -> Any:
    torch.manual_seed(0)
    return registry.load("methods", "dib", Method)(blueprint(schema()), **weights).double()


def test_losses_of_two_parts_agree_with_plain_arithmetic() -> None:
    method, batch = split(both_weight=0.3, biased_weight=-0.07), doubled(FUNNEL)
    clicked = batch.clicked == 1
    unbiased, biased = method.backbone(batch.features), method.other(batch.features)
    expected = torch.zeros((), dtype=torch.float64)
    for weight, left, right in ((0.7, 1, 0), (-0.07, 0, 1), (0.3, 1, 1)):
        (logit,) = method.towers(torch.cat([left * unbiased, right * biased], 1))
        cvr = logit[clicked].sigmoid()
        expected = expected + weight * binary_cross_entropy(cvr, batch.conversion[clicked])
    torch.testing.assert_close(method.loss(batch), expected, rtol=1e-12, atol=0)
    (logit,) = method.towers(torch.cat([unbiased, 0 * biased], 1))
    torch.testing.assert_close(method(batch.features).cvr.log, logit.sigmoid().log())


@pytest.mark.parametrize(
    ("biased", "both", "taught"),
    [
        (0.0, 0.0, ["backbone"]),
        (1.0, 1.0, ["backbone", "other"]),
        (1.0, 0.0, ["backbone", "other"]),
    ],
)
def test_the_unbiased_part_alone_learns_from_its_own_loss(
    biased: float, both: float, taught: list[str]
) -> None:
    method, batch = split(both_weight=both, biased_weight=biased), doubled(FUNNEL)
    loss = method.loss(batch)
    parts = {key: list(getattr(method, key).parameters()) for key in ("backbone", "other")}
    learns = [key for key, own in parts.items() if any(g.any() for g in gradients(loss, own))]
    assert learns == taught
