"""Labels as known on arrival: what weights and a model of delays make up for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from helpers.streams import arriving, world
from helpers.worlds import FixedLogits, blueprint, doubled, make_batch, schema
from torch import Tensor, nn

from benchmark import registry
from benchmark.training.batch import Batch, Features, Probability
from benchmark.training.delays.correction import LabelCorrection
from benchmark.training.delays.schedule import (
    at_the_end,
)
from benchmark.training.method import Method

WAIT = 0.25
WEIGHTED = ("stream_vanilla", "fnw", "es_dfm", "defer", "fsiw")
CORRECTED = ("defuse", "ddfm", "ulc")
UNBIASED = (*WEIGHTED[1:], *CORRECTED)
HEADS = {"es_dfm": 2, "defer": 1, "fsiw": 2, "defuse": 2, "ddfm": 2, "ulc": 1}


# --- what the weights are worth


@dataclass(frozen=True)
class Truth:
    """Clicks that convert with one probability, after exponential times below the window."""

    cvr: float
    mean: float

    def by(self, time: Tensor) -> Tensor:
        """Return P(delay <= time | conversion)."""
        return torch.expm1(-time.clamp(0, 1) / self.mean) / math.expm1(-1 / self.mean)


TRUTHS = (Truth(0.3, 0.4), Truth(0.1, 3.0), Truth(0.6, 0.1))


class Exact(nn.Module):
    """Stands in for fitted heads: the true probabilities, of which the logits can be shifted."""

    def __init__(self, shift: Tensor, *truth: Callable[..., Tensor]) -> None:
        super().__init__()
        self.shift, self.truth = shift, truth

    def forward(self, features: Features, *time: Tensor) -> tuple[Probability, ...]:
        rows = torch.zeros(len(features.sparse), dtype=torch.float64)
        return tuple(
            Probability.from_logit(shift + (truth(*time) + rows).logit(1e-9))
            for shift, truth in zip(self.shift, self.truth, strict=True)
        )


def exact(name: str, truth: Truth, shift: Tensor) -> nn.Module | None:
    """Return what the heads of a method are fitted to."""
    late = truth.cvr * (1 - truth.by(torch.tensor(WAIT, dtype=torch.float64)))

    def never(time: Tensor) -> Tensor:
        return (1 - truth.cvr) / (1 - truth.cvr * truth.by(time))

    after_wait = (lambda: late, lambda: never(torch.tensor(WAIT)))
    heads: dict[str, tuple[Callable[..., Tensor], ...]] = {
        **dict.fromkeys(("es_dfm", "defuse", "ddfm"), after_wait),
        "defer": (lambda: late,),
        "fsiw": (truth.by, never),
        "ulc": (lambda time: 1 - never(time),),
    }
    return Exact(shift, *heads[name]) if name in heads else None


def build(name: str, truth: Truth, logit: Tensor, shift: Tensor | None = None) -> Any:
    """Return a method that predicts one logit for all, with exact heads."""
    torch.manual_seed(0)
    kind = registry.load("methods", name, Method)
    options = {"wait": WAIT} if "wait" in kind.search_space else {}
    method: Any = kind(blueprint(schema()), **options)
    method.backbone = nn.Identity()
    method.towers = FixedLogits(logit)
    count = HEADS.get(name, 0)
    if heads := exact(name, truth, torch.zeros(count) if shift is None else shift):
        method.heads = heads
    return method


def learned(name: str, truth: Truth, rows: int = 100_000) -> float:
    """Return the constant prediction at which the gradient over all arrivals vanishes."""
    clicks = world(rows, truth.cvr, truth.mean)
    schedule = build(name, truth, torch.zeros(())).schedule()
    batch = arriving(clicks, schedule)
    low, high = -6.0, 6.0
    for _ in range(14):
        logit = torch.tensor((low + high) / 2, dtype=torch.float64, requires_grad=True)
        spread = logit.expand(len(batch.conversion))
        method = build(name, truth, spread)
        if name == "dfm":
            method.rate_towers = FixedLogits(torch.tensor(1 / truth.mean).expm1().log())
        (gradient,) = torch.autograd.grad(method.loss(batch), logit)
        low, high = (logit.item(), high) if gradient < 0 else (low, logit.item())
    return 1 / (1 + math.exp(-low))


@pytest.mark.parametrize("truth", TRUTHS, ids=str)
@pytest.mark.parametrize("name", UNBIASED)
def test_weights_recover_the_rate_of_final_labels(name: str, truth: Truth) -> None:
    error = 6 * math.sqrt(truth.cvr * (1 - truth.cvr) / 50_000)
    assert learned(name, truth) == pytest.approx(truth.cvr, abs=error)


def test_weights_of_what_arrives_again_are_those_of_the_paper() -> None:
    cvr = Probability.from_logit(torch.linspace(-3, 3, 5))
    positive, negative = build("fnw", TRUTHS[0], torch.zeros(())).weights(cvr, None)
    torch.testing.assert_close(positive, 1 + cvr.value())
    torch.testing.assert_close(negative, (1 - cvr.value()) * (1 + cvr.value()))


@pytest.mark.parametrize("truth", TRUTHS, ids=str)
def test_without_weights_late_conversions_are_missed(truth: Truth) -> None:
    seen = truth.cvr * truth.by(torch.tensor(WAIT)).item()
    assert learned("stream_vanilla", truth) == pytest.approx(seen, abs=0.01)
    assert seen < truth.cvr - 0.03


@pytest.mark.parametrize(("cvr", "mean"), [(0.3, 0.1), (0.6, 0.05)])
def test_a_right_model_of_delays_recovers_the_rate(cvr: float, mean: float) -> None:
    assert learned("dfm", Truth(cvr, mean)) == pytest.approx(cvr, abs=0.01)


@pytest.mark.parametrize("truth", TRUTHS[:2], ids=str)
@pytest.mark.parametrize("name", HEADS)
def test_heads_are_fitted_to_what_the_weights_need(name: str, truth: Truth) -> None:
    batch = arriving(world(100_000, truth.cvr, truth.mean), at_the_end)

    def gradient(offset: float) -> Tensor:
        shift = torch.full((HEADS[name],), offset, dtype=torch.float64, requires_grad=True)
        (phase,) = build(name, truth, torch.zeros(()), shift).warm_up()
        assert phase.schedule is at_the_end
        (update,) = phase.updates(batch)
        (found,) = torch.autograd.grad(update.loss, shift)
        return found

    too_low, right, too_high = map(gradient, (-0.5, 0, 0.5))
    assert (right.abs() < torch.minimum(-too_low, too_high) / 3).all()


@pytest.mark.parametrize("name", ["es_dfm", "defer", "fsiw", "defuse", "ulc"])
def test_where_nothing_converts_late_labels_are_taken_at_their_word(name: str) -> None:
    batch, logit = make_batch(schema(), 64), torch.randn(64, dtype=torch.float64)
    method, naive = (build(n, Truth(0.3, 1e-3), logit) for n in (name, "stream_vanilla"))
    if name in ("fsiw", "ulc"):  # as if the window had closed
        batch = replace(batch, elapsed=torch.ones(64))
    torch.testing.assert_close(method.loss(batch), naive.loss(batch))


def test_delays_that_are_certain_to_be_short_leave_the_loss_of_clicks() -> None:
    batch = make_batch(schema(), 64)
    logit = torch.randn(64, dtype=torch.float64, requires_grad=True)
    batch = replace(batch, delay=torch.full((64,), 0.5))
    method, naive = (build(n, TRUTHS[0], logit) for n in ("dfm", "stream_vanilla"))
    method.rate_towers = FixedLogits(torch.full((64,), 200.0, dtype=torch.float64))
    slopes = [torch.autograd.grad(m.loss(batch), logit)[0] for m in (method, naive)]
    torch.testing.assert_close(*slopes)


# --- gradients and numbers


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("value", [-50.0, -2.0, 0.0, 3.0, 50.0])
def test_weights_carry_no_gradient_and_stay_finite(name: str, value: float) -> None:
    batch = make_batch(schema(), 64)
    logit = torch.full((64,), value, requires_grad=True)
    shift = torch.zeros(HEADS.get(name, 0), requires_grad=True)
    method = build(name, TRUTHS[0], logit, shift)
    cvr = Probability.from_logit(logit)
    if_converted, if_not = method.weights(cvr, batch)
    weights = torch.where(batch.conversion > 0, if_converted, if_not).detach()
    assert weights.isfinite().all()
    assert (weights >= 0).all()
    slope = weights * (logit.sigmoid() - batch.conversion) * batch.clicked / batch.clicked.sum()
    found = torch.autograd.grad(method.loss(batch), (logit, shift), allow_unused=True)
    torch.testing.assert_close(found[0], slope.detach().to(found[0].dtype))
    assert found[1] is None or not found[1].any()


@pytest.mark.parametrize("name", CORRECTED)
@pytest.mark.parametrize("value", [-50.0, -2.0, 0.0, 3.0, 50.0])
def test_shares_carry_no_gradient_and_stay_finite(name: str, value: float) -> None:
    batch = make_batch(schema(), 64)
    logit = torch.full((64,), value, requires_grad=True)
    shift = torch.zeros(HEADS[name], requires_grad=True)
    method = build(name, TRUTHS[0], logit, shift)
    converted, none = (s.detach() for s in method.shares(Probability.from_logit(logit), batch))
    assert (converted + none).isfinite().all()
    assert none.min() >= 0
    assert (converted + none).min() >= 0
    p = logit.detach().sigmoid()
    slope = (none * p - converted * (1 - p)) * batch.clicked / batch.clicked.sum()
    found = torch.autograd.grad(method.loss(batch), (logit, shift), allow_unused=True)
    torch.testing.assert_close(found[0], slope.to(found[0].dtype))
    assert found[1] is None or not found[1].any()


def kinds(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return whether a click arrives again, and its label, (B,) each."""
    assert batch.elapsed is not None
    return batch.elapsed > WAIT, batch.conversion > 0


@pytest.mark.parametrize("name", CORRECTED)
def test_corrected_labels_agree_with_plain_arithmetic(name: str) -> None:
    batch = doubled(make_batch(schema(), 200))
    assert batch.elapsed is not None
    logit = torch.randn(200, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    wrong = torch.full((1,), 12.0) if name == "ulc" else None  # where a window has closed
    method = build(name, TRUTHS[0], logit, wrong)
    heads = method.heads(batch.features, *[batch.elapsed.clamp(max=1)][: name == "ulc"])
    again, converted = (kind.tolist() for kind in kinds(batch))
    total = 0.0
    for i in batch.clicked.nonzero().squeeze(1).tolist():
        p, (d, *n) = logit[i].sigmoid().item(), [head.value()[i].item() for head in heads]
        if name == "ulc":
            label = 1.0 if converted[i] else d * (batch.elapsed[i].item() < 1)
            shares = (label, 1 - label)
        elif converted[i]:
            shares = (1 if name == "ddfm" or again[i] else 1 + d, 0)
        elif name == "defuse":
            shares = ((1 - n[0]) * d, n[0] * (1 + d))
        else:
            shares = (-min(d, p), min(d, p)) if again[i] else (1 - n[0], n[0])
        total -= shares[0] * math.log(p) + shares[1] * math.log(1 - p)
    expected = total / batch.clicked.sum().item()
    assert method.loss(batch).item() == pytest.approx(expected, rel=1e-9)


def test_negatives_that_return_teach_as_a_label_below_the_prediction() -> None:
    """The authors' code has the cross entropy against the prediction less d."""
    batch = doubled(make_batch(schema(), 64))
    again, converted = kinds(batch)
    returned = replace(batch, click=batch.clicked * (again & ~converted))
    logit = torch.linspace(-6, 3, 64, dtype=torch.float64, requires_grad=True)
    method = build("ddfm", Truth(0.3, 0.4), logit)
    late, _ = method.heads(batch.features)
    cvr = Probability.from_logit(logit)
    label = (cvr.value() - late.value()).detach().clamp_min(0)
    expected = (returned.clicked * cvr.cross_entropy(label)).sum() / returned.clicked.sum()
    slopes = [torch.autograd.grad(x, logit)[0] for x in (method.loss(returned), expected)]
    assert slopes[0].any()
    torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-15)


def test_negatives_alone_return_with_late_conversions() -> None:
    clicks = world(2_000, 0.3, 0.4)
    method = build("ddfm", TRUTHS[0], torch.zeros(()))
    arrivals = method.schedule()(clicks)
    delay, again = clicks.delay[arrivals.click], arrivals.elapsed > WAIT
    assert (delay[again] > WAIT).all()
    closed = delay[again].isinf()
    assert (arrivals.elapsed[again][closed] == 1).all()
    assert arrivals.elapsed[again][~closed].equal(delay[again][~closed])
    first = torch.bincount(arrivals.click[~again], minlength=2_000)
    steady = (clicks.time > 1) & (clicks.time < clicks.time.max() - 1)
    assert (first[steady] == 1).all()
    returns = torch.bincount(arrivals.click[again], minlength=2_000)
    assert returns[steady].equal((clicks.delay > WAIT)[steady].long())


@pytest.mark.parametrize("truth", TRUTHS, ids=str)
def test_calibration_undoes_the_share_of_arrivals_that_convert(truth: Truth) -> None:
    share = learned("fnc", truth)
    assert share == pytest.approx(truth.cvr / (1 + truth.cvr), abs=0.01)
    logit = torch.tensor([share, 0.2, 1e-6, 0.5, 0.9], dtype=torch.float64).logit()
    cvr = build("fnc", truth, logit)(make_batch(schema(), 5).features).cvr
    expected = torch.tensor([share / (1 - share), 0.25, 1e-6 / (1 - 1e-6), 1, 1])
    torch.testing.assert_close(cvr.value(), expected.double(), rtol=2e-6, atol=0)
    torch.testing.assert_close(cvr.log_not.exp(), 1 - cvr.value(), rtol=1e-9, atol=1e-12)
    assert (cvr.log <= 0).all()


def test_what_is_calibrated_learns_as_if_nothing_were() -> None:
    batch, logit = make_batch(schema(), 64), torch.randn(64, dtype=torch.float64)
    method, naive = (build(n, TRUTHS[0], logit) for n in ("fnc", "stream_vanilla"))
    assert method.loss(batch).equal(naive.loss(batch))
    clicks = world(2_000, 0.3, 0.4)
    weighted = build("fnw", TRUTHS[0], logit).schedule()(clicks)
    calibrated = method.schedule()(clicks)
    assert all(map(torch.equal, vars(weighted).values(), vars(calibrated).values()))


def in_two_parts(prompt: Tensor, late: Tensor) -> Any:
    """Return the method that predicts what converts up to the wait and after it."""
    method: Any = registry.load("methods", "bi_defuse", Method)(blueprint(schema()), wait=WAIT)
    method.backbone, method.towers = nn.Identity(), FixedLogits(prompt, late)
    return method


def test_losses_up_to_the_wait_and_after_it_agree_with_plain_arithmetic() -> None:
    batch = doubled(make_batch(schema(), 200))
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 200, dtype=torch.float64, generator=generator, requires_grad=True)
    again, converted = (kind.tolist() for kind in kinds(batch))
    clicks = batch.clicked.nonzero().squeeze(1).tolist()
    observed, corrected, slopes = [], [], torch.zeros_like(logits)
    for i in clicks:
        a, b = logits[:, i].sigmoid().tolist()
        if not again[i]:
            observed.append(-math.log(a if converted[i] else 1 - a))
            slopes[0, i] = a - converted[i]
        as_late, as_none = b * b, (1 + b) * (1 - b)
        if again[i]:
            as_late, as_none = float(converted[i]), float(not converted[i])
        corrected.append(-as_late * math.log(b) - as_none * math.log(1 - b))
        slopes[1, i] = as_none * b - as_late * (1 - b)
    loss = in_two_parts(*logits).loss(batch)
    expected = sum(observed) / len(observed) + sum(corrected) / len(corrected)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    counts = torch.tensor([[len(observed)], [len(corrected)]])
    (found,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(found, slopes.detach() / counts, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("truth", TRUTHS, ids=str)
def test_parts_up_to_the_wait_and_after_it_are_learned_without_bias(truth: Truth) -> None:
    clicks = world(100_000, truth.cvr, truth.mean)
    prompt = truth.cvr * truth.by(torch.tensor(WAIT, dtype=torch.float64))
    right = torch.stack([prompt, truth.cvr - prompt]).logit(1e-9)
    batch = arriving(clicks, in_two_parts(*right).schedule())

    def gradient(offset: float) -> Tensor:
        logits = (right + offset).requires_grad_()
        spread = (logit.expand(len(batch.conversion)) for logit in logits)
        (found,) = torch.autograd.grad(in_two_parts(*spread).loss(batch), logits)
        return found

    too_low, exact, too_high = map(gradient, (-0.5, 0, 0.5))
    assert (exact.abs() < torch.minimum(-too_low, too_high) / 3).all()


def test_the_parts_are_added_up_and_cut_at_one() -> None:
    parts = torch.tensor([[0.2, 0.1, 1e-9, 0.7], [0.1, 0.1, 1e-9, 0.6]], dtype=torch.float64)
    cvr = in_two_parts(*parts.logit())(make_batch(schema(), 4).features).cvr
    torch.testing.assert_close(cvr.value(), parts.sum(0).clamp_max(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(cvr.log_not.exp(), 1 - cvr.value(), rtol=1e-6, atol=1e-12)
    assert cvr.log.max() < 0


# --- what is revealed at several times


REVEALS = [1 / 7200, 1 / 2880, 1 / 720, 1 / 30, 7 / 30, 1]


def revealed(logit: Tensor, truth: Truth, shift: Tensor | None = None) -> Any:
    """Return the method that learns at several times, with exact heads and what they count."""
    torch.manual_seed(0)
    method: Any = registry.load("methods", "gdfm", Method)(blueprint(schema())).double()
    method.backbone, method.towers = nn.Identity(), FixedLogits(logit)
    by = [truth.by(torch.tensor(time, dtype=torch.float64)) for time in REVEALS]
    shift = torch.zeros(5) if shift is None else shift
    method.heads = Exact(shift, *[lambda share=share: share for share in by[:-1]])
    shown = truth.cvr * torch.stack(by)
    none = [1 - truth.cvr, truth.cvr - shown, torch.zeros(6), shown]
    method.counts = torch.stack([torch.as_tensor(x).expand(6) for x in none], 1).view(6, 2, 2)
    return method


def plain_weights(method: Any, alpha: float, beta: float) -> list[float]:
    """Return the weights of the times."""
    entropies = []
    for table in method.counts.tolist():
        cells = [(table[d][y] / sum(map(sum, table)), d) for d in (0, 1) for y in (0, 1)]
        known = [sum(p for p, d in cells if d == k) for k in (0, 1)]
        entropies.append(-sum(p * math.log(p / known[d]) for p, d in cells if p > 0))
    largest = max(entropies)
    weights = [
        math.exp(-alpha * entropy / largest) * math.exp(-beta * time)
        for entropy, time in zip(entropies, REVEALS, strict=True)
    ]
    return [6 * weight / sum(weights) for weight in weights]


def test_likelihoods_of_what_is_revealed_agree_with_plain_arithmetic() -> None:
    truth, rows = Truth(0.3, 0.4), 60
    logit = torch.randn(rows, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    method = revealed(logit, truth)
    method.entropy_weight, method.time_weight = 1.5, 0.7
    time = torch.arange(rows) % 6
    elapsed = torch.tensor(REVEALS, dtype=torch.float64)[time]
    batch = replace(doubled(make_batch(schema(), rows)), elapsed=elapsed, delay=elapsed)
    weights, total = plain_weights(method, 1.5, 0.7), 0.0
    assert max(weights) > 2 * min(weights)
    for i in batch.clicked.nonzero().squeeze(1).tolist():
        shown = logit[i].sigmoid().item() * truth.by(elapsed[i]).item()
        likelihood = shown if batch.conversion[i] else 1 - shown
        total -= weights[time[i]] * math.log(likelihood)
    expected = total / batch.clicked.sum().item()
    assert method.loss(batch).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("truth", TRUTHS, ids=str)
def test_a_right_model_of_what_is_revealed_recovers_the_rate(truth: Truth) -> None:
    right = torch.tensor(truth.cvr, dtype=torch.float64).logit()
    batch = arriving(world(100_000, truth.cvr, truth.mean), revealed(right, truth).schedule())

    def slope(offset: float) -> Tensor:
        logit = (right + offset).requires_grad_()
        method = revealed(logit.expand(len(batch.conversion)), truth)
        (found,) = torch.autograd.grad(method.loss(batch), logit)
        return found

    too_low, exact, too_high = map(slope, (-0.5, 0, 0.5))
    assert exact.abs() < min(-too_low, too_high) / 5


def test_what_is_revealed_is_fitted_to_conversions_and_counted_by_final_labels() -> None:
    batch = doubled(make_batch(schema(), 300))
    shift = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    method = revealed(torch.zeros(300), TRUTHS[0], shift)
    method.counts = torch.zeros(6, 2, 2)
    shares = [head.value()[0].item() for head in method.heads(batch.features)]
    (phase,) = method.warm_up()
    assert phase.schedule is at_the_end
    (update,) = phase.updates(batch)
    assert batch.elapsed is not None
    assert batch.delay is not None
    expected, counts, converted = 0.0, torch.zeros(6, 2, 2), 0
    for i in range(300):
        if batch.clicked[i] and batch.elapsed[i] >= 1:
            label = int(batch.conversion[i])
            shown = [int(label and batch.delay[i].item() <= time) for time in REVEALS]
            for j, d in enumerate(shown):
                counts[j, d, label] += 1
            if label:
                converted += 1
                pairs = zip(shares, shown[:-1], strict=True)
                expected -= sum(math.log(p if d else 1 - p) for p, d in pairs)
    assert converted > 20
    assert method.counts.equal(counts)
    assert update.loss.item() == pytest.approx(expected / converted, rel=1e-6)
    assert update.module is method.heads


def test_every_click_arrives_at_each_time() -> None:
    clicks = world(2_000, 0.3, 0.4)
    arrivals = revealed(torch.zeros(()), TRUTHS[0]).schedule()(clicks)
    steady = (clicks.time > 1) & (clicks.time < clicks.time.max() - 1)
    for time in REVEALS:
        now = arrivals.click[(arrivals.elapsed - time).abs() < 1e-9]
        assert torch.bincount(now, minlength=2_000)[steady].eq(1).all()
    torch.testing.assert_close(arrivals.time, clicks.time[arrivals.click] + arrivals.elapsed)
    assert arrivals.time.max() <= clicks.time.max()


def test_the_likelihood_of_delays_agrees_with_plain_arithmetic() -> None:
    batch = make_batch(schema(), 200)
    assert batch.delay is not None
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 200, generator=generator, requires_grad=True)
    method = build("dfm", TRUTHS[0], logits[0])
    method.rate_towers = FixedLogits(logits[1])
    cvr, rate = logits[0].sigmoid(), (1 + logits[1].exp()).log()
    density, survival = rate * (-rate * batch.delay).exp(), (-rate * batch.delay).exp()
    likelihood = torch.where(batch.conversion > 0, cvr * density, 1 - cvr + cvr * survival)
    expected = -(batch.clicked * likelihood.log()).sum() / batch.clicked.sum()
    loss = method.loss(batch)
    torch.testing.assert_close(loss, expected)
    (slope,) = torch.autograd.grad(loss, logits)
    converted = batch.conversion > 0
    waiting_still = (batch.clicked > 0) & ~converted
    assert (slope[0, converted] < 0).all()
    assert (slope[:, waiting_still] > 0).all()  # less likely to convert, and slower if it does
    sure = cvr.detach() * batch.clicked / batch.clicked.sum()
    assert (slope[0, waiting_still] < sure[waiting_still]).all()  # but not as of a certain negative


def test_a_click_made_just_now_teaches_nothing() -> None:
    logit = torch.zeros(4, requires_grad=True)
    method = build("dfm", TRUTHS[0], logit)
    method.rate_towers = FixedLogits(torch.zeros(4))
    now = Batch(make_batch(schema(), 4).features, torch.ones(4), torch.zeros(4),
                 elapsed=torch.zeros(4), delay=torch.zeros(4))  # fmt: skip
    assert not torch.autograd.grad(method.loss(now), logit)[0].any()


@pytest.mark.parametrize("name", [*HEADS, "dfm", "bi_defuse", "gdfm"])
def test_a_batch_without_times_is_refused(name: str) -> None:
    method: Any = registry.load("methods", name, Method)(blueprint(schema()))
    timed = make_batch(schema(), 8)
    bare = Batch(timed.features, timed.click, timed.conversion)
    updates = [phase.updates for phase in method.warm_up()] or [method.updates]
    with pytest.raises(ValueError, match="needs times"):
        next(updates[0](bare))


@pytest.mark.parametrize("left_out", ["fit_heads", "shares"])
def test_a_correction_that_leaves_a_part_out_is_refused(left_out: str) -> None:
    whole = registry.load("methods", "ulc", Method)
    part = getattr(LabelCorrection, left_out)
    kind = type("Part", (whole,), {"name": "Part", left_out: part})
    with pytest.raises(TypeError, match=f"abstract.*{left_out}"):
        kind(blueprint(schema()))
