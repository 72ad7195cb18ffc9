"""The mathematics of probabilities and shared losses, and their bias where the truth is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, localcontext

import pytest
import torch
from helpers.plugins import method_module
from helpers.worlds import make_batch, schema, simulate
from torch import Tensor

from benchmark.training import losses
from benchmark.training.batch import Batch, Prediction, Probability

DCMT = method_module("dcmt")

FLOOR = 1e-3


def probability(*values: float) -> Probability:
    return Probability.from_logit(torch.logit(torch.tensor(values, dtype=torch.float64)))


# --- probabilities


def test_compositions_agree_with_plain_arithmetic() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 1000, dtype=torch.float64, generator=generator)
    a, b, c = map(Probability.from_logit, logits)
    p, q, s = logits.sigmoid()
    both, mixed = a & b, a.mix(b, c)
    expected = {both: p * q, mixed: p * q + (1 - p) * s}
    for composed, value in expected.items():
        torch.testing.assert_close(composed.value(), value, rtol=1e-12, atol=0)
        torch.testing.assert_close(composed.log_not.exp(), 1 - value, rtol=1e-12, atol=1e-15)
    target = (logits[2] > 0).double()
    plain = -(target * (p * q).log() + (1 - target) * (1 - p * q).log())
    torch.testing.assert_close(both.cross_entropy(target), plain, rtol=1e-12, atol=1e-14)


def test_mixing_equal_steps_returns_the_step() -> None:
    a, b = probability(0.2, 0.9), probability(0.7, 1e-6)
    torch.testing.assert_close(a.mix(b, b).log, b.log, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(a.mix(b, b).log_not, b.log_not, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_stay_finite_and_exact(dtype: torch.dtype) -> None:
    logits = torch.tensor([-50.0, 50.0], dtype=dtype, requires_grad=True)
    low, high = (Probability.from_logit(logit) for logit in logits)
    both, mixed = low & high, low.mix(high, low)
    parts = [both.log, both.log_not, mixed.log, mixed.log_not]
    assert all(part.isfinite() for part in parts)
    assert both.log.item() == pytest.approx(-50)
    assert both.log_not.item() == pytest.approx(-2 * math.exp(-50), rel=1e-5)
    assert mixed.log.item() == pytest.approx(-50 + math.log(2), rel=1e-6)
    one = torch.ones((), dtype=dtype)
    (gradient,) = torch.autograd.grad(both.cross_entropy(one) + mixed.cross_entropy(one), logits)
    assert gradient.isfinite().all()


def by_hand(x: float, y: float, z: float) -> dict[str, list[Decimal]]:
    """Return the gradients of four cross entropies by the logits of a, b and c, from 60 digits."""
    with localcontext(prec=60):
        a, b, c = (1 / (1 + Decimal(-logit).exp()) for logit in (x, y, z))
        m = a * b + (1 - a) * c
        slopes = [a * (1 - a) * (b - c), a * b * (1 - b), (1 - a) * c * (1 - c)]
        return {
            "a and b": [a - 1, b - 1],
            "not both": [p * a * b / (1 - a * b) for p in (1 - a, 1 - b)],
            "mixed": [-slope / m for slope in slopes],
            "not mixed": [slope / (1 - m) for slope in slopes],
        }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logits", list(itertools.product((-50.0, -20.0, 3.0, 50.0), repeat=3)))
def test_gradients_at_extreme_logits_are_exact(
    dtype: torch.dtype, logits: tuple[float, float, float]
) -> None:
    leaf = torch.tensor(logits, dtype=dtype, requires_grad=True)
    a, b, c = map(Probability.from_logit, leaf)
    zero, one = torch.zeros((), dtype=dtype), torch.ones((), dtype=dtype)
    losses_of = {
        "a and b": (a & b).cross_entropy(one),
        "not both": (a & b).cross_entropy(zero),
        "mixed": a.mix(b, c).cross_entropy(one),
        "not mixed": a.mix(b, c).cross_entropy(zero),
    }
    for name, expected in by_hand(*logits).items():
        (found,) = torch.autograd.grad(losses_of[name], leaf, retain_graph=True)
        exact = torch.tensor([float(value) for value in expected], dtype=dtype)
        torch.testing.assert_close(found[: len(exact)], exact, rtol=1e-5, atol=1e-7)


# --- losses by hand


@pytest.fixture
def four() -> tuple[Prediction, Batch]:
    """Four impressions, the last two clicked, the very last converted."""
    features = make_batch(schema("funnel"), 4).features
    click, conversion = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 1]]).double()
    batch = Batch(features, click, conversion, micro=click, macro=conversion)
    prediction = Prediction(
        ctr=probability(0.1, 0.2, 0.5, 0.8),
        cvr=probability(0.3, 0.3, 0.4, 0.6),
        micro=probability(0.9, 0.9, 0.9, 0.9),
        macro=probability(0.5, 0.5, 0.5, 0.5),
        counterfactual_cvr=probability(0.7, 0.5, 0.6, 0.6),
        imputed_error=torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64),
    )
    return prediction, batch


def log(*values: float) -> float:
    return sum(map(math.log, values))


IMPUTED = [0.3 + log(0.6), 0.4 + log(0.6)]  # imputed less observed error on the two clicks
EXPECTED = {
    "naive": (losses.click_cvr_loss, -log(0.6, 0.6) / 2),
    "ctr": (losses.ctr_loss, -log(0.9, 0.8, 0.5, 0.8) / 4),
    "ctcvr": (losses.ctcvr_loss, -log(0.97, 0.94, 0.8, 0.48) / 4),
    "micro": (lambda p, f: losses.path_loss(p, f, "micro"), -log(0.91, 0.82, 0.45, 0.72) / 4),
    "macro": (lambda p, f: losses.path_loss(p, f, "macro"), -log(0.95, 0.9, 0.75, 0.4) / 4),
    "ips": (lambda p, f: losses.ips_loss(p, f, 0.6), -log(0.6) * (1 / 0.6 + 1 / 0.8) / 4),
    "dr": (lambda p, f: losses.dr_loss(p, f, 0.6), (1 - IMPUTED[0] / 0.6 - IMPUTED[1] / 0.8) / 4),
    "imputation": (
        lambda p, f: losses.imputation_loss(p, f, 0.6),
        (IMPUTED[0] ** 2 / 0.6 + IMPUTED[1] ** 2 / 0.8) / 4,
    ),
    "counterfactual": (
        lambda p, f: DCMT.counterfactual_loss(p, f, 0.85),
        -(log(0.7) / 0.9 + log(0.5) / 0.85) / 4,
    ),
    "gap": (lambda p, _: DCMT.counterfactual_gap(p), (0.0 + 0.2 + 0.0 + 0.2) / 4),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_losses_equal_hand_calculations(four: tuple[Prediction, Batch], name: str) -> None:
    loss, expected = EXPECTED[name]
    assert loss(*four).item() == pytest.approx(expected, rel=1e-12)


def test_click_logs_drop_the_click(four: tuple[Prediction, Batch]) -> None:
    prediction, batch = four[0], replace(four[1], click=None)
    assert losses.ctr_loss(prediction, batch).item() == 0
    given = prediction.cvr.cross_entropy(batch.conversion).mean()
    assert losses.ctcvr_loss(prediction, batch).equal(given)
    assert losses.click_cvr_loss(prediction, batch).item() == pytest.approx(given.item())
    with pytest.raises(ValueError, match="consists of clicks"):
        losses.ips_loss(prediction, batch, FLOOR)


def test_losses_name_what_is_missing(four: tuple[Prediction, Batch]) -> None:
    prediction, batch = four
    bare = Prediction(cvr=prediction.cvr)
    with pytest.raises(ValueError, match="predicts the CTR"):
        losses.ctr_loss(bare, batch)
    with pytest.raises(ValueError, match="predicts the imputed error"):
        losses.imputation_loss(replace(bare, ctr=prediction.ctr), batch, FLOOR)
    with pytest.raises(ValueError, match="no micro"):
        losses.path_loss(bare, batch, "micro")


# --- gradients


def leaves(seed: int = 0, rows: int = 50) -> tuple[Prediction, Batch, dict[str, Tensor]]:
    """Return a random prediction with the leaf tensors that made it."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(4, rows, dtype=torch.float64, generator=generator).unbind(0)
    names = ("ctr", "cvr", "counterfactual_cvr", "imputed_error")
    leaf = {name: part.clone().requires_grad_() for name, part in zip(names, raw, strict=True)}
    made = {name: Probability.from_logit(part) for name, part in leaf.items()}
    made["imputed_error"] = leaf["imputed_error"].exp()  # type: ignore[assignment]
    return Prediction(**made), make_batch(schema("impressions"), rows, seed), leaf  # type: ignore[arg-type]


def gradients(loss: Tensor, leaf: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(loss, list(leaf.values()), retain_graph=True, allow_unused=True)
    pairs = zip(leaf.items(), found, strict=True)
    return {name: torch.zeros_like(part) if g is None else g for (name, part), g in pairs}


WEIGHTED = {
    "ips": losses.ips_loss,
    "dr": losses.dr_loss,
    "imputation": losses.imputation_loss,
    "counterfactual": DCMT.counterfactual_loss,
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_propensities_carry_no_gradient(name: str) -> None:
    prediction, batch, leaf = leaves()
    found = gradients(WEIGHTED[name](prediction, batch, FLOOR), leaf)
    assert found.pop("ctr").count_nonzero() == 0
    assert any(gradient.count_nonzero() for gradient in found.values())


def test_ctcvr_gradient_reaches_the_ctr_and_lowers_the_cvr_of_unclicked_rows() -> None:
    prediction, batch, leaf = leaves()
    found = gradients(losses.ctcvr_loss(prediction, batch), leaf)
    assert found["ctr"].count_nonzero() == len(batch.conversion)
    assert (found["cvr"][batch.clicked == 0] > 0).all()


@pytest.mark.parametrize("loss", [losses.click_cvr_loss, losses.ips_loss, losses.dr_loss])
def test_unclicked_rows_leave_the_cvr_alone(loss: Callable[..., Tensor]) -> None:
    prediction, batch, leaf = leaves()
    floor = () if loss is losses.click_cvr_loss else (FLOOR,)
    found = gradients(loss(prediction, batch, *floor), leaf)["cvr"]
    assert found[batch.clicked == 0].count_nonzero() == 0
    assert found[batch.clicked == 1].count_nonzero() == batch.clicked.sum()


def test_doubly_robust_and_inverse_propensity_gradients_are_equal() -> None:
    prediction, batch, leaf = leaves()
    ips = gradients(losses.ips_loss(prediction, batch, FLOOR), leaf)
    dr = gradients(losses.dr_loss(prediction, batch, FLOOR), leaf)
    torch.testing.assert_close(dr["cvr"], ips["cvr"], rtol=1e-13, atol=0)
    assert dr["imputed_error"].count_nonzero() == 0


def test_imputation_learns_the_imputed_error_only() -> None:
    prediction, batch, leaf = leaves()
    found = gradients(losses.imputation_loss(prediction, batch, FLOOR), leaf)
    assert found.pop("imputed_error").count_nonzero() == batch.clicked.sum()
    assert all(gradient.count_nonzero() == 0 for gradient in found.values())


# --- reductions


def constant_ctr(prediction: Prediction, value: float) -> Prediction:
    return replace(prediction, ctr=probability(*[value] * len(prediction.cvr.log)))


def test_constant_propensity_rescales_the_click_loss() -> None:
    prediction, batch, _ = leaves()
    share = batch.clicked.mean() / 0.3
    ips = losses.ips_loss(constant_ctr(prediction, 0.3), batch, FLOOR)
    torch.testing.assert_close(ips, share * losses.click_cvr_loss(prediction, batch))


def test_weights_stop_at_the_floor() -> None:
    prediction, batch, _ = leaves()
    clicks = losses.click_weights(constant_ctr(prediction, 0.01), batch, 0.05)
    assert clicks.unique().tolist() == pytest.approx([0, 20])
    others = losses.no_click_weights(constant_ctr(prediction, 0.99), batch, 0.05)
    assert others.unique().tolist() == pytest.approx([0, 20])


def test_imputing_nothing_leaves_inverse_propensities() -> None:
    prediction, batch, leaf = leaves()
    nothing = replace(prediction, imputed_error=0 * leaf["imputed_error"])
    ips = losses.ips_loss(prediction, batch, FLOOR)
    assert losses.dr_loss(nothing, batch, FLOOR).item() == pytest.approx(ips.item(), rel=1e-13)


def test_certain_clicks_make_every_estimator_the_naive_one() -> None:
    prediction, batch, leaf = leaves()
    certain = Probability(torch.zeros_like(leaf["ctr"]), torch.full_like(leaf["ctr"], -math.inf))
    prediction = replace(prediction, ctr=certain)
    batch = replace(batch, click=torch.ones_like(batch.conversion))
    naive = losses.click_cvr_loss(prediction, batch).item()
    assert losses.ips_loss(prediction, batch, FLOOR).item() == pytest.approx(naive, rel=1e-13)
    assert losses.dr_loss(prediction, batch, FLOOR).item() == pytest.approx(naive, rel=1e-13)


# --- bias in a world where the truth is known: 30 draws of 10 000 impressions


def standard_errors(estimate: Callable[[Prediction, Batch, Tensor], Tensor]) -> float:
    """Return how many standard errors an estimate is off the full-information loss on average."""
    gaps = []
    for seed in range(30):
        truth, logged, everywhere, expected = simulate(10_000, seed)
        full = losses.cvr_errors(truth, everywhere).mean()
        gaps.append(estimate(truth, logged, expected) - full)
    gap = torch.stack(gaps)
    return float(gap.mean().abs() / (gap.std() / math.sqrt(len(gap))))


def wrong(prediction: Prediction) -> Prediction:
    """Return the same with propensities drawn towards a half."""
    assert prediction.ctr is not None
    flat = 0.3 * (prediction.ctr.log - prediction.ctr.log_not)
    return replace(prediction, ctr=Probability.from_logit(flat))


UNBIASED = {
    "ips, right propensity": lambda p, f, _: losses.ips_loss(p, f, FLOOR),
    "dr, right propensity, imputed 0.2": lambda p, f, e: losses.dr_loss(
        replace(p, imputed_error=torch.full_like(e, 0.2)), f, FLOOR
    ),
    "dr, right propensity, imputed reverse": lambda p, f, e: losses.dr_loss(
        replace(p, imputed_error=2 - e), f, FLOOR
    ),
    "dr, wrong propensity, exact imputation": lambda p, f, e: losses.dr_loss(
        replace(wrong(p), imputed_error=e), f, FLOOR
    ),
}
BIASED = {
    "naive": lambda p, f, _: losses.click_cvr_loss(p, f),
    "ips, wrong propensity": lambda p, f, _: losses.ips_loss(wrong(p), f, FLOOR),
    "ips, high floor": lambda p, f, _: losses.ips_loss(p, f, 0.5),
    "dr, both wrong": lambda p, f, e: losses.dr_loss(
        replace(wrong(p), imputed_error=torch.full_like(e, 0.2)), f, FLOOR
    ),
}


@pytest.mark.parametrize("estimator", UNBIASED)
def test_estimators_average_to_the_full_information_loss(estimator: str) -> None:
    assert standard_errors(UNBIASED[estimator]) < 3


@pytest.mark.parametrize("estimator", BIASED)
def test_estimators_miss_the_full_information_loss(estimator: str) -> None:
    assert standard_errors(BIASED[estimator]) > 5


def test_exact_imputation_has_less_variance_than_none() -> None:
    draws: dict[str, list[Tensor]] = {"ips": [], "dr": []}
    for seed in range(30):
        truth, logged, _, expected = simulate(5_000, seed)
        draws["ips"].append(losses.ips_loss(truth, logged, FLOOR))
        exact = replace(truth, imputed_error=expected)
        draws["dr"].append(losses.dr_loss(exact, logged, FLOOR))
    assert torch.stack(draws["dr"]).std() < 0.8 * torch.stack(draws["ips"]).std()
