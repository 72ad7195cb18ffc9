"""The mathematics between methods: where one becomes another, and which gradients flow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.worlds import FixedLogits, blueprint, make_batch, rows_of, schema
from torch import Tensor

from benchmark import registry
from benchmark.training import losses
from benchmark.training.batch import Prediction, Probability
from benchmark.training.method import Method

ROWS = 400
FUNNEL = make_batch(schema(), ROWS)


def build(name: str, **hyperparameters: Any) -> Method:
    torch.manual_seed(0)
    method = registry.load("methods", name, Method)(blueprint(schema()), **hyperparameters)
    return method.double().eval()


def logits(count: int, spread: float = 2.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    made = spread * torch.randn(count, ROWS, dtype=torch.float64, generator=generator)
    return [logit.requires_grad_() for logit in made.unbind(0)]


def with_logits(name: str, *towers: Tensor, **hyperparameters: Any) -> Method:
    """Return a method whose towers give the stated logits."""
    method = build(name, **hyperparameters)
    method.towers = FixedLogits(*towers)
    return method


def predict(name: str, *towers: Tensor) -> Prediction:
    prediction = with_logits(name, *towers)(FUNNEL.features)
    assert isinstance(prediction, Prediction)
    return prediction


def assert_same(one: Probability | None, other: Probability | None, rtol: float = 1e-12) -> None:
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one.log, other.log, rtol=rtol, atol=1e-12)
    torch.testing.assert_close(one.log_not, other.log_not, rtol=rtol, atol=1e-12)


# --- compositions of the behaviour graphs


def test_hierarchy_agrees_with_plain_arithmetic() -> None:
    towers = logits(6)
    y1, y2, y3, y4, y5, y6 = (logit.sigmoid() for logit in towers)
    prediction = predict("hm3", *towers)
    four_paths = y2 * y3 * y4 + (1 - y2) * y5 * y4 + y2 * (1 - y3) * y6 + (1 - y2) * (1 - y5) * y6
    macro = y2 * y3 + (1 - y2) * y5
    expected = {"ctr": y1, "micro": y2, "macro": macro, "cvr": four_paths}
    for name, value in expected.items():
        found = getattr(prediction, name)
        torch.testing.assert_close(found.value(), value, rtol=1e-12, atol=0)
        torch.testing.assert_close(found.log_not.exp(), 1 - value, rtol=1e-12, atol=1e-15)


def test_plain_arithmetic_gives_the_same_loss() -> None:
    towers = logits(6)
    y1, y2, y3, y4, y5, y6 = (logit.sigmoid() for logit in towers)
    macro = y2 * y3 + (1 - y2) * y5
    cvr = macro * y4 + (1 - macro) * y6
    assert FUNNEL.click is not None
    assert FUNNEL.micro is not None
    assert FUNNEL.macro is not None
    terms = [
        (y1, FUNNEL.click),
        (y1 * y2, FUNNEL.micro),
        (y1 * macro, FUNNEL.macro),
        (y1 * cvr, FUNNEL.conversion),
    ]
    plain = [torch.nn.functional.binary_cross_entropy(p, t.double()) for p, t in terms]
    loss = with_logits("hm3", *towers).loss(FUNNEL)
    torch.testing.assert_close(loss, torch.stack(plain).sum(), rtol=1e-12, atol=0)


def test_equal_macro_steps_make_micro_irrelevant() -> None:
    y1, y2, y3, y4, _, y6 = logits(6)
    prediction = predict("hm3", y1, y2, y3, y4, y3, y6)
    assert_same(prediction.macro, Probability.from_logit(y3))
    assert_same(prediction.cvr, predict("hm3", y1, -y2, y3, y4, y3, y6).cvr)


def test_irrelevant_micro_leaves_the_graph_without_it() -> None:
    y1, y2, y3, y4, _, y6 = logits(6)
    hierarchy = with_logits("hm3", y1, y2, y3, y4, y3, y6, micro_weight=0.0)
    flat = with_logits("esm2", y1, y3, y4, y6)
    for name in ("ctr", "macro", "cvr"):
        pair = (getattr(method(FUNNEL.features), name) for method in (hierarchy, flat))
        assert_same(*pair)
    torch.testing.assert_close(hierarchy.loss(FUNNEL), flat.loss(FUNNEL), rtol=1e-12, atol=0)


def test_irrelevant_macro_leaves_click_and_conversion() -> None:
    y1, y2, y3, y4, y5, _ = logits(6)
    hierarchy = with_logits("hm3", y1, y2, y3, y4, y5, y4, micro_weight=0.0, macro_weight=0.0)
    flat = with_logits("esm2", y1, y2, y4, y4, macro_weight=0.0)
    plain = with_logits("esmm", y1, y4)
    for method in (hierarchy, flat):
        assert_same(method(FUNNEL.features).cvr, Probability.from_logit(y4))
        torch.testing.assert_close(method.loss(FUNNEL), plain.loss(FUNNEL), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_compose_to_finite_losses_and_gradients(dtype: torch.dtype) -> None:
    corners = torch.cartesian_prod(*[torch.tensor([-50.0, 50.0], dtype=dtype)] * 6)
    corners.requires_grad_()
    batch = rows_of(FUNNEL, torch.arange(len(corners)))
    method = with_logits("hm3", *corners.unbind(1))
    prediction = method(batch.features)
    for step in (prediction.ctr, prediction.micro, prediction.macro, prediction.cvr):
        assert step.log.isfinite().all()
        assert step.log_not.isfinite().all()
        assert (torch.minimum(step.log, step.log_not) < -49).any()
    (gradient,) = torch.autograd.grad(method.loss(batch), corners)
    assert gradient.isfinite().all()


# --- propensity-weighted methods


def test_no_entire_space_term_leaves_inverse_propensity_weighting() -> None:
    ctr, cvr = logits(2)
    weights = {"cvr_weight": 1.0, "propensity_floor": 0.05}
    regularised = with_logits("escm2_ips", ctr, cvr, ctcvr_weight=0.0, **weights)
    alone = with_logits("multi_ipw", ctr, cvr, **weights)
    assert regularised.loss(FUNNEL).equal(alone.loss(FUNNEL))


def test_unbalanced_propensities_leave_the_regularised_weighting() -> None:
    ctr, cvr = logits(2)
    weights = {"ctcvr_weight": 0.4, "cvr_weight": 3.0, "propensity_floor": 0.05}
    unbalanced = with_logits("ips_v2", ctr, cvr, balance_weight=0.0, **weights)
    regularised = with_logits("escm2_ips", ctr, cvr, **weights)
    torch.testing.assert_close(
        unbalanced.loss(FUNNEL), regularised.loss(FUNNEL), rtol=1e-12, atol=0
    )
    balanced = with_logits("ips_v2", ctr, cvr, balance_weight=2.0, **weights)
    p, r, o = ctr.sigmoid(), cvr.sigmoid(), FUNNEL.clicked
    w = o / p.clamp_min(0.05) - (1 - o) / (1 - p).clamp_min(0.05)
    extra = 2 * (w * r).mean().square()
    torch.testing.assert_close(
        balanced.loss(FUNNEL) - regularised.loss(FUNNEL), extra, rtol=1e-9, atol=0
    )


def test_no_entire_space_term_leaves_the_doubly_robust_method() -> None:
    towers = logits(3)
    weights = {"cvr_weight": 0.7, "propensity_floor": 0.05}
    regularised = with_logits("escm2_dr", *towers, ctcvr_weight=0.0, **weights)
    alone = with_logits("multi_dr", *towers, **weights)
    assert regularised.loss(FUNNEL).equal(alone.loss(FUNNEL))


def test_no_propensity_term_leaves_entire_space_learning() -> None:
    ctr, cvr = logits(2)
    regularised = with_logits("escm2_ips", ctr, cvr, cvr_weight=0.0)
    torch.testing.assert_close(
        regularised.loss(FUNNEL), with_logits("esmm", ctr, cvr).loss(FUNNEL), rtol=1e-13, atol=0
    )


def test_imputing_nothing_leaves_inverse_propensity_weighting() -> None:
    ctr, cvr = logits(2)
    nothing = torch.full_like(ctr, -800)
    imputing = with_logits("multi_dr", ctr, cvr, nothing, imputes="error")
    imputation = losses.imputation_loss(imputing(FUNNEL.features), FUNNEL, 0.05)
    expected = with_logits("multi_ipw", ctr, cvr).loss(FUNNEL)
    torch.testing.assert_close(imputing.loss(FUNNEL) - imputation, expected, rtol=1e-12, atol=0)


def test_constant_propensities_scale_the_click_loss() -> None:
    _, cvr = logits(2)
    ctr = torch.full_like(cvr, 0.3).logit()
    share = FUNNEL.clicked.double().mean() / 0.3
    weighted, naive = with_logits("multi_ipw", ctr, cvr), with_logits("naive", cvr)
    expected = losses.ctr_loss(weighted(FUNNEL.features), FUNNEL) + share * naive.loss(FUNNEL)
    torch.testing.assert_close(weighted.loss(FUNNEL), expected, rtol=1e-12, atol=0)


def test_certain_counterfactual_leaves_the_weighted_clicks() -> None:
    """With constant propensities, no prior and r̂* = 1, the twin is weighted clicks and CTCVR."""
    _, cvr = logits(2)
    ctr = torch.full_like(cvr, 0.3).logit()
    twin = build("dcmt", prior_weight=0.0)
    twin.ctr_tower = FixedLogits(ctr)
    twin.twin_tower = _Stacked(cvr, torch.full_like(cvr, 800))
    expected = with_logits("escm2_ips", ctr, cvr, cvr_weight=1.0, propensity_floor=0.05)
    torch.testing.assert_close(twin.loss(FUNNEL), expected.loss(FUNNEL), rtol=1e-12, atol=0)


def test_complementary_twins_pay_no_prior() -> None:
    ctr, cvr = logits(2)
    total = []
    for prior_weight in (0.0, 1.0):
        twin = build("dcmt", prior_weight=prior_weight)
        twin.ctr_tower, twin.twin_tower = FixedLogits(ctr), _Stacked(cvr, -cvr)
        total.append(twin.loss(FUNNEL).item())
    assert total[0] == pytest.approx(total[1], rel=1e-14)


class _Stacked(FixedLogits):
    """Stands in for a tower with several outputs."""

    def forward(self, encoding: Tensor) -> Tensor:  # type: ignore[override]
        return torch.stack(self.logits, 1)


# --- gradients by tower: the slices of the parallel weights


def tower_gradients(method: Method, loss: Tensor, tower: int) -> list[Tensor]:
    """Return the gradient of a loss in each layer of one of the parallel towers."""
    parameters = list(method.towers.parameters())  # type: ignore[union-attr]
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    pairs = zip(parameters, found, strict=True)
    return [torch.zeros_like(p[tower]) if g is None else g[tower] for p, g in pairs]


def assert_equal_gradients(one: list[Tensor], other: list[Tensor]) -> None:
    assert one
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    "name", ["multi_ipw", "multi_dr", "multi_snips", "escm2_ips", "escm2_dr", "escm2_snips"]
)
def test_ctr_tower_learns_nothing_from_weighted_clicks(name: str) -> None:
    method = build(name, cvr_weight=7.0, **({"ctcvr_weight": 0.0} if "escm2" in name else {}))
    ctr_loss = losses.ctr_loss(method(FUNNEL.features), FUNNEL)
    whole = tower_gradients(method, method.loss(FUNNEL), tower=0)
    assert_equal_gradients(whole, tower_gradients(method, ctr_loss, tower=0))
    weighted = losses.ips_loss(method(FUNNEL.features), FUNNEL, 0.05)
    assert not any(gradient.any() for gradient in tower_gradients(method, weighted, tower=0))


def test_ctr_tower_of_twins_learns_nothing_from_weighted_rows() -> None:
    method = build("dcmt", cvr_weight=7.0)
    parameters = list(method.ctr_tower.parameters())  # type: ignore[union-attr]
    prediction = method(FUNNEL.features)
    entire_space = losses.ctr_loss(prediction, FUNNEL) + losses.ctcvr_loss(prediction, FUNNEL)
    whole = torch.autograd.grad(method.loss(FUNNEL), parameters)
    assert_equal_gradients(list(whole), list(torch.autograd.grad(entire_space, parameters)))


@pytest.mark.parametrize("name", ["esmm", "esm2", "hm3", "escm2_ips", "escm2_dr"])
def test_ctr_tower_learns_from_conversions_of_impressions(name: str) -> None:
    method = build(name)
    ctcvr_loss = losses.ctcvr_loss(method(FUNNEL.features), FUNNEL)
    assert all(gradient.any() for gradient in tower_gradients(method, ctcvr_loss, tower=0))
    ctr_loss = losses.ctr_loss(method(FUNNEL.features), FUNNEL)
    whole = tower_gradients(method, method.loss(FUNNEL), tower=0)
    alone = tower_gradients(method, ctr_loss, tower=0)
    assert not any(a.allclose(b) for a, b in zip(whole, alone, strict=True))


@pytest.mark.parametrize("pair", [("multi_dr", "multi_ipw"), ("escm2_dr", "escm2_ips")])
def test_cvr_tower_learns_the_same_with_and_without_imputed_errors(pair: tuple[str, str]) -> None:
    """The honest remark in the docstrings: imputing errors acts through the backbone only."""
    imputing, weighting = build(pair[0], imputes="error"), build(pair[1])
    ctr, cvr, error = logits(3)
    found = []
    for method, towers in ((imputing, (ctr, cvr, error)), (weighting, (ctr, cvr))):
        method.towers = FixedLogits(*towers)
        found.append(torch.autograd.grad(method.loss(FUNNEL), (ctr, cvr)))
    assert_equal_gradients(list(found[0]), list(found[1]))


def entropy(target: Tensor, p: Tensor) -> Tensor:
    return -(target * p.log() + (1 - target) * (1 - p).log())


@pytest.mark.parametrize("name", ["multi_dr", "escm2_dr"])
def test_imputed_labels_teach_as_plain_arithmetic_says(name: str) -> None:
    """The CVR learns from the risk on every row, the imputation from its own loss on clicks."""
    towers = logits(3)
    ctr, cvr, label = (logit.sigmoid() for logit in towers)
    o, r, u = FUNNEL.clicked, FUNNEL.conversion, FUNNEL.clicked / ctr.detach().clamp_min(0.05)
    error, imputed = entropy(r, cvr), entropy(label.detach(), cvr)
    gap = entropy(r, cvr.detach()) - entropy(label, cvr.detach())
    risk = (imputed + u * (error - imputed) + u * gap**2).mean()
    options = {"ctcvr_weight": 0.0} if name == "escm2_dr" else {}
    method = with_logits(name, *towers, cvr_weight=0.7, propensity_floor=0.05, **options)
    loss, expected = method.loss(FUNNEL), entropy(o, ctr).mean() + 0.7 * risk
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
    found, right = (list(torch.autograd.grad(v, towers)) for v in (loss, expected))
    assert_equal_gradients(found, right)
    assert found[1].all()
    assert found[2].equal(o * found[2])


@pytest.mark.parametrize("name", ["naive", "multi_ipw", "multi_dr", "mmoe"])
def test_unclicked_rows_teach_the_cvr_nothing(name: str) -> None:
    ctr, cvr, error = logits(3)
    towers = {"naive": (cvr,), "multi_dr": (ctr, cvr, error)}.get(name, (ctr, cvr))
    options = {"imputes": "error"} if name == "multi_dr" else {}
    (gradient,) = torch.autograd.grad(with_logits(name, *towers, **options).loss(FUNNEL), cvr)
    assert not gradient[FUNNEL.clicked == 0].any()
    assert gradient[FUNNEL.clicked == 1].all()
