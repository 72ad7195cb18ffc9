"""Methods that label unclicked rows: what they reduce to, and which gradients flow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.gradients import assert_equal, gradients
from helpers.plugins import method_module
from helpers.worlds import FixedLogits, blueprint, make_batch, rows_of, schema
from torch import Tensor, nn

from benchmark import registry
from benchmark.training import losses
from benchmark.training.batch import Features, Probability
from benchmark.training.method import Method, Phase

ROWS = 400
FUNNEL = make_batch(schema(), ROWS)
UNCLICKED = FUNNEL.clicked == 0


def build(name: str, **hyperparameters: Any) -> Any:
    torch.manual_seed(0)
    method = registry.load("methods", name, Method)(blueprint(schema()), **hyperparameters)
    return method.double().eval()


def logits(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    made = 2 * torch.randn(count, ROWS, dtype=torch.float64, generator=generator)
    return [logit.requires_grad_() for logit in made.unbind(0)]


def with_logits(name: str, *towers: Tensor, **hyperparameters: Any) -> Any:
    """Return a method whose towers give the stated logits."""
    method = build(name, **hyperparameters)
    method.towers = FixedLogits(*towers)
    return method


# --- reductions


def loss_of(name: str, **hyperparameters: Any) -> Tensor:
    ctr, cvr = logits(2)
    loss: Tensor = with_logits(name, ctr, cvr, **hyperparameters).loss(FUNNEL)
    return loss


def test_without_entire_space_loss_only_weighted_clicks_remain() -> None:
    weights = {"cvr_weight": 0.7, "propensity_floor": 0.05}
    regularised = loss_of("escm2_snips", ctcvr_weight=0.0, **weights)
    assert regularised.equal(loss_of("multi_snips", **weights))


@pytest.mark.parametrize(
    ("name", "off", "simpler", "same"),
    [
        ("escm2_snips", {"cvr_weight": 0.0}, "esmm", {}),
        ("cl4cvr", {"contrastive_weight": 0.0}, "esmm", {}),
        ("escim", {"cvr_weight": 0.0, "counterfactual_weight": 0.0}, "esmm", {}),
        (
            "escim",
            {"cvr_weight": 0.3, "counterfactual_weight": 0.0},
            "escm2_ips",
            {"cvr_weight": 0.3, "propensity_floor": 0.05},
        ),
    ],
)
def test_what_is_weighted_zero_leaves_the_simpler_loss(
    name: str, off: dict[str, float], simpler: str, same: dict[str, float]
) -> None:
    torch.testing.assert_close(loss_of(name, **off), loss_of(simpler, **same), rtol=1e-12, atol=0)


def test_without_distillation_the_student_is_naive() -> None:
    method = build("ukd", distillation_weight=0.0)
    prediction = method(FUNNEL.features)
    expected = losses.ctr_loss(prediction, FUNNEL) + losses.click_cvr_loss(prediction, FUNNEL)
    torch.testing.assert_close(method.loss(FUNNEL), expected, rtol=1e-12, atol=0)


def test_released_normalisation_divides_by_the_batch_once_more() -> None:
    towers = logits(3)
    debiased = []
    for as_released in (False, True):
        on, off = (
            with_logits("ddpo", *towers, cvr_weight=weight, as_released=as_released).loss(FUNNEL)
            for weight in (1.0, 0.0)
        )
        debiased.append(on - off)
    torch.testing.assert_close(debiased[0] / ROWS, debiased[1], rtol=1e-9, atol=0)


def entropy(target: Tensor, p: Tensor) -> Tensor:
    return -(target * p.log() + (1 - target) * (1 - p).log())


def test_opposite_events_agree_with_plain_arithmetic() -> None:
    towers = logits(3)
    ctr, cvr, none = (logit.sigmoid() for logit in towers)
    o, r = FUNNEL.clicked, FUNNEL.conversion
    u, v = o / ctr.clamp_min(0.1), (1 - o) / (1 - ctr).clamp_min(0.1)
    entire_space = entropy(o, ctr) + entropy(r, ctr * cvr) + entropy(o * (1 - r), ctr * none)
    clicks = u * (entropy(r, cvr) + entropy(1 - r, none))
    aligned = (u + v) * entropy(1 - none, cvr)
    weights = {"cvr_weight": 0.7, "alignment_weight": 0.3, "propensity_floor": 0.1}
    loss = with_logits("chorus_cvr", *towers, **weights).loss(FUNNEL)
    expected = (entire_space + 0.7 * clicks + 0.3 * aligned).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)


def test_dual_propensities_agree_with_plain_arithmetic() -> None:
    towers = logits(3)
    ctr, cvr, converts = (logit.sigmoid() for logit in towers)
    o, r = FUNNEL.clicked, FUNNEL.conversion
    u, v = o / ctr.clamp_min(0.1), (1 - o) / (1 - ctr).clamp_min(0.1)
    clicks = (u * entropy((r + converts).clamp_max(1), cvr)).sum() / u.sum()
    others = (v * entropy(converts, cvr)).sum() / v.sum()
    rest = (entropy(o, ctr) + entropy(r, ctr * cvr) + o * entropy(r, converts)).mean()
    loss = with_logits("ddpo", *towers, cvr_weight=0.7, propensity_floor=0.1).loss(FUNNEL)
    torch.testing.assert_close(loss, rest + 0.7 * (clicks + others) / ROWS, rtol=1e-9, atol=0)


def test_a_conditioned_teacher_agrees_with_plain_arithmetic() -> None:
    weights = {"cvr_weight": 0.7, "ctcvr_weight": 0.4, "information_weight": 0.3}
    method = build("evi", propensity_floor=0.3, **weights)
    encoding, hidden = plain_parts(method)
    first = method.towers.layers[0](encoding).relu()
    ctr, cvr = (logit.sigmoid() for logit in method.towers.read(hidden))
    taught, (_, *features) = method.teacher(encoding, Probability.from_logit(ctr.logit()))
    o, r, t = FUNNEL.clicked, FUNNEL.conversion, taught.value()
    u, v = o / ctr.clamp_min(0.3), (1 - o) / (1 - ctr).clamp_min(0.3)
    rest = (entropy(o, ctr) + 0.4 * entropy(r, ctr * cvr) + entropy(r, t)).mean()
    debiased = (u * entropy(r, cvr) + v * entropy(t, cvr)).mean()
    last, before = method.transfers
    information = last(hidden[1], features[1][0]) + before(first[1], features[0][0])
    expected = rest + 0.7 * debiased + 0.3 * information
    torch.testing.assert_close(method.loss(FUNNEL), expected, rtol=1e-9, atol=0)


def plain_parts(method: Any) -> tuple[Tensor, Tensor]:
    encoding = method.backbone(FUNNEL.features)
    return encoding, method.towers.hidden(encoding)


def test_doubted_distillation_agrees_with_plain_arithmetic() -> None:
    method = build("ukd", distillation_weight=0.7, uncertainty_scale=2.0)
    prediction, uncertainty = method.towers(method.backbone(FUNNEL.features))
    ctr, cvr = prediction.ctr.value(), prediction.cvr.value()
    label = method.teacher(FUNNEL.features).cvr.value()
    clicks = entropy(FUNNEL.conversion, cvr)[~UNCLICKED].mean()
    others = (uncertainty + (-2 * uncertainty).exp() * entropy(label, cvr))[UNCLICKED].mean()
    expected = entropy(FUNNEL.clicked, ctr).mean() + clicks + 0.7 * others
    assert uncertainty.all()
    torch.testing.assert_close(method.loss(FUNNEL), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("rule", ["max", "ratio"])
def test_imagined_clicks_agree_with_plain_arithmetic(rule: str) -> None:
    weights = {"cvr_weight": 0.7, "counterfactual_weight": 0.3, "propensity_floor": 0.3}
    towers = logits(2)
    method = with_logits("escim", *towers, label_rule=rule, **weights)
    ctr, cvr = (logit.sigmoid() for logit in towers)
    o, r, p = FUNNEL.clicked, FUNNEL.conversion, ctr.clamp_min(0.3)
    scores = method.prior(FUNNEL)
    share = FUNNEL.conversion.sum() * (ROWS // o.sum())
    kth = scores.sort(descending=True).values[int(share) - 1]
    label = (scores >= (scores[r == 1].max() if rule == "max" else kth)).double()
    weighted = 0.7 * (o * entropy(r, cvr)) + 0.3 * ((1 - o) * entropy(label, cvr))
    expected = (entropy(o, ctr) + entropy(r, ctr * cvr) + weighted / p).mean()
    assert label[UNCLICKED].any()
    torch.testing.assert_close(method.loss(FUNNEL), expected, rtol=1e-9, atol=0)


# --- what carries no gradient


@pytest.mark.parametrize("name", ["ddpo", "chorus_cvr", "escim"])
def test_propensities_learn_nothing_from_being_weights(name: str) -> None:
    towers = logits(2 if name == "escim" else 3)
    low, high = (
        gradients(with_logits(name, *towers, propensity_floor=floor).loss(FUNNEL), towers)
        for floor in (1e-3, 0.5)
    )
    assert_equal(low[:1], high[:1])
    assert not low[1].allclose(high[1], rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "weight"), [("ddpo", "cvr_weight"), ("chorus_cvr", "alignment_weight")]
)
def test_sources_of_soft_labels_learn_nothing_from_them(name: str, weight: str) -> None:
    towers = logits(3)
    without, with_labels = (
        gradients(with_logits(name, *towers, **{weight: value}).loss(FUNNEL), towers)
        for value in (0.0, 5.0)
    )
    assert_equal([without[0], without[2]], [with_labels[0], with_labels[2]])
    assert not with_labels[1].allclose(without[1])


def test_soft_labels_supervise_every_unclicked_row() -> None:
    for name in ("ddpo", "chorus_cvr"):
        towers = logits(3)
        _, found, _ = gradients(with_logits(name, *towers).loss(FUNNEL), towers)
        assert found[UNCLICKED].all()


def test_a_conditioned_teacher_learns_from_its_own_loss_alone() -> None:
    found = []
    for cvr_weight, information_weight in ((0.0, 0.0), (5.0, 5.0)):
        method = build("evi", cvr_weight=cvr_weight, information_weight=information_weight)
        parameters = list(method.teacher.parameters())
        found.append(gradients(method.loss(FUNNEL), parameters))
    assert all(gradient.any() for gradient in found[0])
    assert_equal(*found)


def test_a_teacher_does_not_move_the_propensity_it_reads() -> None:
    (ctr,) = logits(1)
    method = build("evi")
    encoding = method.backbone(FUNNEL.features)
    teacher, features = method.teacher(encoding, Probability.from_logit(ctr))
    assert not gradients(teacher.log.sum() + features[-1].sum(), [ctr])[0].any()
    other, _ = method.teacher(encoding, Probability.from_logit(ctr + 1))
    assert not other.log.allclose(teacher.log)


@pytest.mark.parametrize(("name", "part"), [("ukd", "teacher"), ("escim", "prior")])
def test_what_was_prepared_is_frozen_afterwards(name: str, part: str) -> None:
    method = build(name).train()
    frozen, learning = set(getattr(method, part).parameters()), []
    for update in method.updates(FUNNEL):
        parameters = list(update.module.parameters())
        found = torch.autograd.grad(update.loss, parameters, allow_unused=True)
        learning += [p for p, g in zip(parameters, found, strict=True) if g is not None]
    assert learning
    assert not frozen & set(learning)
    assert frozen | set(learning) == set(method.parameters())


@pytest.mark.parametrize(("name", "part"), [("ukd", "teacher"), ("escim", "prior")])
def test_preparation_trains_nothing_else(name: str, part: str) -> None:
    method = build(name)
    (phase,) = method.warm_up()
    (update,) = phase.updates(FUNNEL)
    assert update.module is getattr(method, part)
    others = set(method.parameters()) - set(update.module.parameters())
    assert not any(g.any() for g in gradients(update.loss, list(others)))


def test_transported_labels_are_constants() -> None:
    """The gradient of each row is that of a cross entropy with a fixed soft label."""
    method = build("idefn", cvr_weight=2.0, click_share=0.8, mass=0.1)
    encoding = method.backbone(FUNNEL.features)
    converted = FUNNEL.clicked * FUNNEL.conversion
    sizes = {"mass": method.mass, "temperature": method.temperature}
    matched = method_module("idefn").matched_share(
        encoding.detach(), 1 - FUNNEL.clicked, converted, **sizes
    )
    assert matched[UNCLICKED].mean().item() == pytest.approx(0.1, rel=1e-5)
    ctr, cvr = (logit.detach().requires_grad_() for logit in method.towers(encoding))
    method.towers = FixedLogits(ctr, cvr)
    (found,) = gradients(method.loss(FUNNEL), [cvr])
    weights = torch.where(UNCLICKED, 0.2, 0.8) * 2 / ROWS
    torch.testing.assert_close(found, weights * (cvr.sigmoid() - converted - matched))


# --- entropy as a pseudo-label


def test_undetached_pseudo_labels_descend_the_entropy() -> None:
    ctr, cvr = logits(2)
    loss = with_logits("nise", ctr, cvr).loss(FUNNEL)
    found = gradients(loss, [cvr])[0][UNCLICKED]
    p = cvr.detach().sigmoid()[UNCLICKED]
    slope = torch.log((1 - p) / p) * p * (1 - p)  # of the entropy, by p and by the logit
    ratio = found / slope
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-9, atol=0)
    assert (found[p < 0.5] > 0).all()


def test_detached_pseudo_labels_would_teach_nothing() -> None:
    (cvr,) = logits(1)
    p = Probability.from_logit(cvr)
    (found,) = gradients(p.cross_entropy(p.value().detach()).sum(), [cvr])
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-15)


@pytest.mark.parametrize("largest", [0.01, 1e6])
def test_unlabelled_rows_agree_with_plain_arithmetic(largest: float) -> None:
    towers = logits(2)
    ctr, cvr = (logit.sigmoid() for logit in towers)
    click_loss = entropy(FUNNEL.clicked, ctr).mean()
    rows = torch.where(UNCLICKED, entropy(cvr, cvr), entropy(FUNNEL.conversion, cvr))
    ratio = (click_loss / rows.mean()).clamp_max(largest).detach()
    expected = click_loss + 0.7 * ratio * rows.mean()
    loss = with_logits("nise", *towers, cvr_weight=0.7, largest_ratio=largest).loss(FUNNEL)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
    for found, right in zip(gradients(loss, towers), gradients(expected, towers), strict=True):
        torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("largest", [0.01, 1e6])
def test_the_ratio_of_losses_is_a_capped_constant(largest: float) -> None:
    ctr, cvr = logits(2)
    method = with_logits("nise", ctr, cvr, largest_ratio=largest)
    click_loss = losses.ctr_loss(method(FUNNEL.features), FUNNEL)
    total = method.loss(FUNNEL)
    assert_equal(gradients(total, [ctr]), gradients(click_loss, [ctr]))
    if largest > 1:
        torch.testing.assert_close(total, 2 * click_loss, rtol=1e-12, atol=0)
    else:
        assert total < 1.1 * click_loss


# --- views


def test_masks_are_complementary_halves() -> None:
    method = build("cl4cvr", contrastive_weight=1.0).train()
    seen: list[Tensor] = []
    method.projection.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    method.loss(FUNNEL)
    first, second = seen
    encoding = method.backbone(FUNNEL.features)[: len(first)]
    torch.testing.assert_close(first + second, encoding)
    assert not (first * second).any()
    assert first.any()
    assert second.any()


def test_contrasted_conversions_agree_with_plain_arithmetic() -> None:
    """Out of training mode, both views are the half of the encoding, so that one counts twice."""
    batch = rows_of(FUNNEL, torch.arange(40))
    method = build("cl4cvr", contrastive_weight=0.7, temperature=0.5)
    o, r = batch.clicked, batch.conversion
    encoding = method.backbone(batch.features)
    view = torch.nn.functional.normalize(method.projection(encoding / 2), dim=1)
    ids, exponent = batch.features.sparse, view @ view.T / 0.5
    total = 0.0
    for i in range(40):
        doubles = (ids == ids[i]).all(1)
        converted = (o * r > 0) & bool(o[i] * r[i] > 0)
        everyone = exponent[i].exp().sum() + exponent[i][~doubles].exp().sum()
        logs = exponent[i] - torch.log(everyone / 80)
        other, own = doubles | converted, converted & ~doubles
        total = total - (logs[other].sum() + logs[own].sum()) / (other.sum() + own.sum()) / 40
    ctr, cvr = (logit.sigmoid() for logit in method.towers(encoding))
    entire_space = (entropy(o, ctr) + entropy(r, ctr * cvr)).mean()
    assert 0 < (o * r).sum() < o.sum()
    expected = entire_space + 0.7 * 2 * total
    torch.testing.assert_close(method.loss(batch), expected, rtol=1e-9, atol=0)


# --- pseudo-labels where two networks agree


class Fixed(nn.Module):
    """Stands in for a network: a fixed logit for each row."""

    def __init__(self, logit: Tensor) -> None:
        super().__init__()
        self.logit = logit

    def forward(self, features: Features) -> Tensor:
        return self.logit


def tri_training(*cvrs: Tensor, **hyperparameters: Any) -> Any:
    method = build("tri_training", **hyperparameters)
    method.predictor, method.first, method.second = map(Fixed, cvrs)
    return method


def test_agreeing_networks_teach_as_plain_arithmetic_says() -> None:
    predictor, first, second = cvrs = logits(3)
    label, other = first.sigmoid(), second.sigmoid()
    agreed = (label - other).abs() <= 0.1
    assert 10 < agreed.sum() < ROWS - 10
    method = tri_training(*cvrs, agreement=0.1)
    for update, cvr in zip(method.updates(FUNNEL), (predictor, second), strict=True):
        p = cvr.sigmoid()
        errors = -(label * p.log() + (1 - label) * (1 - p).log())
        torch.testing.assert_close(update.loss, errors[agreed].mean(), rtol=1e-9, atol=0)
        found = dict(zip(cvrs, gradients(update.loss, list(cvrs)), strict=True))
        right = agreed * (p - label) / agreed.sum()
        torch.testing.assert_close(found.pop(cvr), right, rtol=1e-9, atol=1e-15)
        assert not any(gradient.any() for gradient in found.values())


def test_wide_tolerance_leaves_plain_distillation_and_none_leaves_nothing() -> None:
    predictor, first, second = cvrs = logits(3)
    distilled = Probability.from_logit(predictor).cross_entropy(first.sigmoid()).mean()
    method = tri_training(*cvrs, agreement=1.0)
    torch.testing.assert_close(method.loss(FUNNEL), distilled, rtol=1e-12, atol=0)
    assert tri_training(*cvrs, agreement=0.0).loss(FUNNEL).item() == 0
    twins = tri_training(predictor, first, first, agreement=0.0)
    torch.testing.assert_close(twins.loss(FUNNEL), distilled, rtol=1e-12, atol=0)
    assert not second.sigmoid().equal(first.sigmoid())


def test_labelling_networks_start_on_weighted_clicks_and_the_predicting_one_on_clicks() -> None:
    ctr, *cvrs = logits(4)
    method = tri_training(*cvrs, propensity_floor=0.05)
    method.propensity.network = Fixed(ctr)
    predictor, first, second = cvrs
    _, labelling = method.warm_up()
    steps = list(labelling.updates(FUNNEL))
    assert [step.module for step in steps] == [method.first, method.second, method.predictor]
    weights = {"cvr_weight": 1.0, "propensity_floor": 0.05}
    click_loss = Probability.from_logit(ctr).cross_entropy(FUNNEL.clicked).mean()
    for step, cvr in zip(steps, (first, second), strict=False):
        whole = with_logits("multi_snips", ctr, cvr, **weights).loss(FUNNEL)
        torch.testing.assert_close(step.loss, whole - click_loss, rtol=1e-9, atol=0)
    naive = with_logits("naive", predictor).loss(FUNNEL)
    torch.testing.assert_close(steps[-1].loss, naive, rtol=1e-12, atol=0)
    assert not any(g.any() for step in steps for g in gradients(step.loss, [ctr]))


# --- shapes of towers


@pytest.mark.parametrize("name", ["evi", "idefn", "ukd", "escim", "cl4cvr"])
@pytest.mark.parametrize("tower", [(), (3,), (5, 2)])
def test_towers_of_any_depth_will_do(name: str, tower: tuple[int, ...]) -> None:
    method = registry.load("methods", name, Method)(blueprint(schema(), tower))
    for phase in (*method.warm_up(), Phase(1, method.updates)):
        (update,) = phase.updates(FUNNEL)
        assert update.loss.isfinite()


def test_logits_are_read_from_the_last_hidden_layer() -> None:
    for tower in ((), (5, 2)):
        towers, encoding = blueprint(schema(), tower).towers(3, 4), torch.randn(10, 4)
        hidden = towers.hidden(encoding)
        assert hidden.shape == (3, 10, towers.width)
        for one, other in zip(towers.read(hidden), towers(encoding), strict=True):
            torch.testing.assert_close(one, other)
