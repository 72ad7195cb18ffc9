"""Self-normalised weights and losses on labels of unclicked rows, and their bias."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from helpers.plugins import method_module
from helpers.worlds import make_batch, schema, simulate
from torch import Tensor

from benchmark.training import losses
from benchmark.training.batch import Batch, Prediction, Probability
from benchmark.training.losses import (
    click_weights,
    cvr_errors,
    no_click_weights,
    self_normalised,
    snips_loss,
)

unclicked_loss = method_module("evi").unclicked_loss
ROWS = 400
FLOOR = 1e-3
FUNNEL = make_batch(schema(), ROWS)
LOGITS = 2 * torch.randn(2, ROWS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def prediction_of(ctr: Tensor, cvr: Tensor) -> Prediction:
    return Prediction(ctr=Probability.from_logit(ctr), cvr=Probability.from_logit(cvr))


def scaled(prediction: Prediction, factor: float) -> Prediction:
    """Return the same with every propensity multiplied."""
    assert prediction.ctr is not None
    log = prediction.ctr.log + math.log(factor)
    return replace(prediction, ctr=Probability(log, torch.log1p(-log.exp())))


def test_constant_propensities_give_the_naive_loss() -> None:
    cvr = LOGITS[1]
    constant = prediction_of(torch.full_like(cvr, 0.3).logit(), cvr)
    naive = losses.click_cvr_loss(constant, FUNNEL)
    torch.testing.assert_close(snips_loss(constant, FUNNEL, FLOOR), naive, rtol=1e-12, atol=0)


def test_a_common_factor_of_propensities_is_ignored() -> None:
    prediction = prediction_of(*LOGITS)
    half = scaled(prediction, 0.5)
    one, other = (snips_loss(p, FUNNEL, floor=1e-9) for p in (prediction, half))
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    ips = [losses.ips_loss(p, FUNNEL, floor=1e-9) for p in (prediction, half)]
    torch.testing.assert_close(2 * ips[0], ips[1], rtol=1e-12, atol=0)


def test_weights_sum_to_one_or_to_nothing() -> None:
    prediction = prediction_of(*LOGITS)
    for weights in (click_weights, no_click_weights):
        total = self_normalised(weights(prediction, FUNNEL, FLOOR)).sum()
        assert total.item() == pytest.approx(1, rel=1e-12)
    nothing = replace(FUNNEL, click=torch.zeros(ROWS))
    assert not self_normalised(click_weights(prediction, nothing, FLOOR)).any()
    assert snips_loss(prediction, nothing, FLOOR).item() == 0


def estimates(estimator: Callable[[Prediction, Batch, float], Tensor], rows: int) -> Tensor:
    """Return the gaps to the full-information loss in 30 worlds of known propensities."""
    gaps = []
    for seed in range(30):
        truth, logged, everywhere, _ = simulate(rows, seed)
        gaps.append(estimator(truth, logged, FLOOR) - cvr_errors(truth, everywhere).mean())
    return torch.stack(gaps)


def standard_errors(gaps: Tensor) -> float:
    return float(gaps.mean().abs() / (gaps.std() / math.sqrt(len(gaps))))


def test_self_normalised_losses_are_consistent_and_vary_less() -> None:
    gaps = estimates(snips_loss, 10_000)
    assert standard_errors(gaps) < 3
    assert gaps.std() < estimates(losses.ips_loss, 10_000).std()


def test_self_normalised_losses_stay_right_where_all_propensities_are_halved() -> None:
    def halved(loss: Callable[..., Tensor]) -> Callable[[Prediction, Batch, float], Tensor]:
        return lambda prediction, batch, floor: loss(scaled(prediction, 0.5), batch, floor)

    assert standard_errors(estimates(halved(snips_loss), 10_000)) < 3
    assert standard_errors(estimates(halved(losses.ips_loss), 10_000)) > 5


def test_true_labels_of_unclicked_rows_complete_the_weighted_clicks() -> None:
    """Each part alone estimates the full-information loss, hence both do twice it."""

    def both(prediction: Prediction, batch: Batch, floor: float) -> Tensor:
        x = batch.features.dense.squeeze(1)
        label = torch.sigmoid(1.2 * x - 1)
        clicks = losses.ips_loss(prediction, batch, floor)
        return (clicks + unclicked_loss(prediction, batch, label, floor)) / 2

    assert standard_errors(estimates(both, 10_000)) < 3


def test_labels_of_unclicked_rows_are_constants() -> None:
    ctr, cvr, source = torch.cat([LOGITS, LOGITS[:1]]).requires_grad_().unbind(0)
    loss = unclicked_loss(prediction_of(ctr, cvr), FUNNEL, source.sigmoid(), FLOOR)
    found = torch.autograd.grad(loss, (ctr, cvr, source), allow_unused=True)
    assert found[0] is None
    assert found[2] is None
    assert found[1].equal(found[1] * (1 - FUNNEL.clicked))
    assert found[1].count_nonzero() == (1 - FUNNEL.clicked).sum()
