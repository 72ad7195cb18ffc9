"""Propensities with an encoding of their own: penalties, reductions, and who learns from what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.gradients import gradients
from helpers.worlds import FixedLogits, blueprint, doubled, make_batch, rows_of, schema
from torch import Tensor, nn

from benchmark import registry
from benchmark.training.batch import Batch, Features
from benchmark.training.method import Method

ROWS = 60
FUNNEL = doubled(make_batch(schema(), ROWS))
NAMES = ("dt_ips", "dt_dr")
FREE: dict[str, Any] = {"disentangling_weight": 0.0, "norm_weight": 0.0}


class Fixed(nn.Module):
    """Stands in for an encoder or a network: one value per row, whatever the features."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, features: Features) -> Tensor:
        return self.value


def build(name: str, **hyperparameters: Any) -> Any:
    torch.manual_seed(0)
    method = registry.load("methods", name, Method)(blueprint(schema()), **hyperparameters)
    return method.double().eval()


def draws(*sizes: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(s, dtype=torch.float64, generator=generator) for s in sizes]


def logits() -> list[Tensor]:
    """Return the logits of click, conversion and pseudo-label."""
    return [2 * logit for logit in draws(ROWS, ROWS, ROWS)]


def given(name: str, ctr: Tensor, cvr: Tensor, label: Tensor, **hyperparameters: Any) -> Any:
    method = build(name, **hyperparameters)
    method.ctr_tower, method.cvr_tower = FixedLogits(ctr), FixedLogits(cvr)
    method.imputer = Fixed(label)
    return method


def summed_penalties(a: Tensor, b: Tensor, batch: Batch, weight: float) -> float:
    """Return the penalties as the authors' code has them: on sums over rows, entry by entry."""
    total = 0.0
    for marked in (torch.ones_like(batch.clicked), batch.clicked):
        own = [i for i in range(len(a)) if marked[i]]
        for k in range(a.shape[1]):
            for m in range(b.shape[1]):
                total += sum(float(a[i, k] * b[i, m]) for i in own) ** 2 / a.shape[1] / b.shape[1]
        squares = [float(v) ** 2 for i in own for v in (*a[i], *b[i])]
        total += sum(squares) / len(squares)
    return weight * total


@pytest.mark.parametrize("name", NAMES)
def test_penalties_are_those_on_sums_over_rows(name: str) -> None:
    a, b = (draw.view(ROWS, 3) for draw in draws(3 * ROWS, 3 * ROWS))
    towers = logits()
    beta = 1e-3
    method = given(name, *towers, disentangling_weight=beta * ROWS**2, norm_weight=beta)
    method.backbone, method.other = Fixed(a), Fixed(b)
    found = method.loss(FUNNEL) - given(name, *towers, **FREE).loss(FUNNEL)
    expected = summed_penalties(a, b, FUNNEL, beta)
    assert found.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_the_same_on_the_same_rows_twice(name: str) -> None:
    method, twice = build(name), rows_of(FUNNEL, torch.arange(2 * ROWS) % ROWS)
    torch.testing.assert_close(method.loss(twice), method.loss(FUNNEL), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("name", "simpler"), [("dt_ips", "multi_ipw"), ("dt_dr", "multi_dr")])
def test_without_penalties_the_towers_learn_what_two_tasks_teach(name: str, simpler: str) -> None:
    ctr, cvr, label = towers = [logit.requires_grad_() for logit in logits()]
    free = given(name, *towers, propensity_weight=1.0, propensity_floor=0.1, **FREE)
    tasks = build(simpler, cvr_weight=1.0, propensity_floor=0.1)
    tasks.towers = FixedLogits(ctr, cvr, *[label][: name == "dt_dr"])
    found, expected = (method.loss(FUNNEL) for method in (free, tasks))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    for mine, other in zip(gradients(found, towers), gradients(expected, towers), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_the_risk_of_conversions_teaches_neither_propensity_nor_second_encoding(name: str) -> None:
    method = build(name, propensity_weight=0.0, **FREE)
    loss = method.loss(FUNNEL)
    parts = {key: list(part.parameters()) for key, part in method.named_children()}
    learns = {key: any(g.any() for g in gradients(loss, own)) for key, own in parts.items()}
    taught = ["backbone", "cvr_tower"] + ["imputer"] * (name == "dt_dr")
    assert [key for key, value in learns.items() if value] == taught


@pytest.mark.parametrize("name", NAMES)
def test_clicks_teach_both_encodings_and_the_conversion_reads_the_first_alone(name: str) -> None:
    method = build(name, **FREE)
    a, b = (encoding.detach().requires_grad_() for encoding in method.encode(FUNNEL.features))
    prediction = method.heads(a, b)
    assert all(g.any() for g in gradients(prediction.ctr.log.sum(), [a, b]))
    by_a, by_b = gradients(prediction.cvr.log.sum(), [a, b])
    assert by_a.any()
    assert not by_b.any()


def test_encodings_that_share_nothing_among_rows_pay_nothing() -> None:
    a, b = torch.zeros(2, ROWS, 2, dtype=torch.float64)
    clicked = FUNNEL.clicked > 0
    for rows in (clicked, ~clicked):
        index = rows.nonzero().squeeze(1)[:4]
        a[index] = torch.tensor([[1.0, 0], [1, 1], [-1, 0], [-1, 1]], dtype=torch.float64)
        b[index] = torch.tensor([[1.0, 1], [-1, 0], [-1, 1], [1, 0]], dtype=torch.float64)
    method = build("dt_ips", disentangling_weight=1.0, norm_weight=0.0, propensity_weight=0.0)
    prediction = method(FUNNEL.features)
    assert method.propensity_loss(prediction, a, b, FUNNEL).item() == 0
    assert method.propensity_loss(prediction, a, a, FUNNEL).item() > 0
