"""Teachers, imagined clicks, partial transport and contrast: the mathematics of the parts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from helpers.gradients import assert_equal, gradients
from helpers.plugins import method_module
from helpers.worlds import FixedLogits, blueprint, make_batch, rows_of, schema
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from benchmark.training import losses
from benchmark.training.batch import Prediction, Probability

CL4CVR, ESCIM, EVI, IDEFN, UKD = map(method_module, ("cl4cvr", "escim", "evi", "idefn", "ukd"))
ROWS = 400
FUNNEL = make_batch(schema(), ROWS)
UNCLICKED = FUNNEL.clicked == 0


def logits(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    made = 2 * torch.randn(count, ROWS, dtype=torch.float64, generator=generator)
    return [logit.requires_grad_() for logit in made.unbind(0)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


# --- teachers and doubt


def test_reversal_flips_the_sign_and_nothing_else() -> None:
    values = (100 * normal(50)).requires_grad_()
    assert UKD.reverse_gradient(values).equal(values)
    weights = normal(50, seed=1)
    plain, reversed_ = (
        gradients((weights * made.square()).sum(), [values])[0]
        for made in (values, UKD.reverse_gradient(values))
    )
    assert reversed_.equal(-plain)


def test_features_unlearn_what_the_discriminator_learns() -> None:
    torch.manual_seed(0)
    teacher = UKD.AdversarialTeacher(blueprint(schema()), 0.7).double()
    hidden = teacher.layer(teacher.backbone(FUNNEL.features))
    cvr, click = map(Probability.from_logit, teacher.towers(torch.cat([hidden, hidden])))
    conversion_loss = losses.click_cvr_loss(Prediction(cvr=cvr), FUNNEL)
    click_loss = 0.7 * click.cross_entropy(FUNNEL.clicked).mean()
    (update,) = teacher.updates(FUNNEL)
    for module, sign in ((teacher.layer, -1), (teacher.backbone, -1), (teacher.towers, 1)):
        parameters = list(module.parameters())
        expected = gradients(conversion_loss + sign * click_loss, parameters)
        assert_equal(gradients(update.loss, parameters), expected)


def test_divergence_is_that_of_bernoulli_variables() -> None:
    one, other = (Probability.from_logit(logit) for logit in logits(2))
    expected = kl_divergence(Bernoulli(one.value()), Bernoulli(other.value()))
    torch.testing.assert_close(UKD.divergence(one, other), expected, rtol=1e-9, atol=1e-12)
    assert (UKD.divergence(one, other) >= 0).all()
    assert not UKD.divergence(one, one).any()


def test_doubt_lowers_trust_and_does_not_pay() -> None:
    uncertainty = torch.linspace(0, 3, 20, dtype=torch.float64, requires_grad=True)
    trust = (
        UKD.uncertainty_weighted(torch.ones_like(uncertainty), uncertainty, scale=2.0) - uncertainty
    )
    torch.testing.assert_close(trust, (-2 * uncertainty).exp())
    assert (trust.diff() < 0).all()
    (slope,) = gradients(
        UKD.uncertainty_weighted(torch.full_like(uncertainty, 0.4), uncertainty, scale=2.0).sum(),
        [uncertainty],
    )
    assert (slope > 0).all()


def test_equal_heads_do_not_doubt_and_dropout_makes_them() -> None:
    torch.manual_seed(0)
    towers = UKD.TwoHeadCvr(blueprint(schema()), width=6).double()
    encoding = normal(ROWS, 6)
    for parameter in towers.cvr_towers.parameters():
        parameter.data[1] = parameter.data[0]
    assert not towers.eval()(encoding)[1].any()
    assert towers.train()(encoding)[1].any()


def test_averaged_heads_are_averaged_as_probabilities() -> None:
    towers = UKD.TwoHeadCvr(blueprint(schema()), width=6).double().eval()
    ctr, first, second = logits(3)
    towers.ctr_tower, towers.cvr_towers = FixedLogits(ctr), FixedLogits(first, second)  # type: ignore[assignment]
    prediction, uncertainty = towers(normal(ROWS, 6))
    torch.testing.assert_close(prediction.cvr.value(), (first.sigmoid() + second.sigmoid()) / 2)
    assert uncertainty.equal(UKD.divergence(*map(Probability.from_logit, (first, second))))


def test_information_is_greatest_at_the_variance_of_the_residual() -> None:
    torch.manual_seed(0)
    transfer = EVI.InformationTransfer(5, 3).double()
    student, teacher = normal(200, 5), (3 * normal(200, 3, seed=1)).requires_grad_()
    residual = (teacher - transfer.map(student)).square().mean(0).detach() - 1e-3
    transfer.spread.data = residual + torch.log(-torch.expm1(-residual))  # softplus, inverted
    loss = transfer(student, teacher)
    expected = ((residual + 1e-3).log().mean() + 1) / 2
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
    spread, through = gradients(loss, [transfer.spread, teacher])
    assert spread.abs().max() < 1e-9
    assert not through.any()


# --- imagined clicks


def test_as_many_rows_are_labelled_as_the_rate_on_clicks_implies() -> None:
    clicks, conversions = FUNNEL.clicked.sum(), FUNNEL.conversion.sum()
    scores = normal(ROWS)
    label = ESCIM.top_share(scores, FUNNEL)
    assert label.sum().item() == conversions * (ROWS // clicks)
    assert scores[label == 1].min() > scores[label == 0].max()
    assert not ESCIM.top_share(scores, replace(FUNNEL, click=torch.zeros(ROWS))).any()


def test_rows_are_labelled_that_no_conversion_exceeds() -> None:
    scores = normal(ROWS) - FUNNEL.conversion
    label = ESCIM.above_conversions(scores, FUNNEL)
    highest = scores[(FUNNEL.clicked * FUNNEL.conversion) == 1].max()
    assert label.equal((scores >= highest).double())
    assert 0 < label[UNCLICKED].sum() < UNCLICKED.sum()
    assert not ESCIM.above_conversions(scores, replace(FUNNEL, click=torch.zeros(ROWS))).any()


def test_imagined_clicks_are_the_unclicked_rows() -> None:
    torch.manual_seed(0)
    imagined = ESCIM.LatentPrior(blueprint(schema())).imagine(FUNNEL, ESCIM.top_share)
    assert imagined.clicked.equal(1 - FUNNEL.clicked)
    assert imagined.conversion.unique().tolist() == [0, 1]


def test_the_prior_learns_from_clicks_alone() -> None:
    torch.manual_seed(0)
    prior = ESCIM.LatentPrior(blueprint(schema())).double().eval()
    clicks = rows_of(FUNNEL, (~UNCLICKED).nonzero().squeeze(1))
    torch.testing.assert_close(prior.loss(FUNNEL), prior.loss(clicks), rtol=1e-9, atol=0)


def test_the_autoencoder_reads_the_encoding_and_leaves_it_alone() -> None:
    torch.manual_seed(0)
    prior = ESCIM.LatentPrior(blueprint(schema())).double().eval()
    encoding = prior.backbone(FUNNEL.features)
    (logit,) = prior.towers(torch.cat([encoding, torch.zeros_like(encoding)], 1))
    conversion_loss = losses.click_cvr_loss(Prediction(cvr=Probability.from_logit(logit)), FUNNEL)
    for module in (prior.backbone, prior.towers):
        parameters = list(module.parameters())
        expected = gradients(conversion_loss, parameters)
        assert_equal(gradients(prior.loss(FUNNEL), parameters), expected)


def test_gaussian_divergence_has_its_closed_form() -> None:
    mean, log_variance = normal(50, 4), normal(50, 4, seed=1)
    standard = Normal(torch.zeros(()).double(), torch.ones(()).double())
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), standard).sum(1)
    torch.testing.assert_close(ESCIM.gaussian_kl(mean, log_variance), expected)
    assert not ESCIM.gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 3)).any()


# --- partial transport


def part(size: int, *members: int) -> Tensor:
    taken = torch.zeros(size, dtype=torch.float64)
    taken[list(members)] = 1
    return taken


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("mass", [0.02, 0.5])
def test_plans_keep_their_marginals(mass: float, temperature: float) -> None:
    points = normal(300, 4)
    rows, columns = part(300, *range(50, 300)), part(40, *range(25))
    cost = torch.cdist(points, points[:40]).square() / 8
    plan = IDEFN.partial_plan(cost, rows, columns, mass=mass, temperature=temperature)
    assert (plan >= 0).all()
    assert (plan.sum(1) <= rows / 250 * (1 + 1e-9)).all()
    assert plan.sum().item() == pytest.approx(mass, rel=1e-3)
    torch.testing.assert_close(plan.sum(0), columns * mass / 25, rtol=0.05, atol=1e-12)


def test_nearer_rows_give_more() -> None:
    points = torch.linspace(0, 1, 11, dtype=torch.float64).unsqueeze(1)
    rows, columns = part(11, *range(1, 11)), part(11, 0)
    share = IDEFN.matched_share(points, rows, columns, mass=0.1, temperature=0.1)
    assert (share[1:].diff() < 0).all()
    sharp = IDEFN.matched_share(points, rows, columns, mass=0.05, temperature=1e-3)
    torch.testing.assert_close(sharp, part(11, 1) / 2, rtol=0, atol=1e-3)


def test_no_partner_no_match() -> None:
    points, nobody, all_rows = normal(20, 3), torch.zeros(20).double(), torch.ones(20).double()
    for rows, columns in ((all_rows, nobody), (nobody, all_rows), (nobody, nobody)):
        assert not IDEFN.matched_share(points, rows, columns, mass=0.1, temperature=0.1).any()


def test_coinciding_points_share_alike() -> None:
    share = IDEFN.matched_share(
        torch.ones(20, 3).double(),
        part(20, *range(5, 20)),
        part(20, 0, 1),
        mass=0.3,
        temperature=0.1,
    )
    torch.testing.assert_close(share, 0.3 * part(20, *range(5, 20)), rtol=1e-9, atol=0)


# --- contrast


def by_loops(first: Tensor, second: Tensor, same: Tensor, alike: Tensor, scale: float) -> float:
    """Return the loss of one direction, written out."""
    unit = [nn.functional.normalize(view, dim=1) for view in (second, first)]
    anchors, total = unit[1], 0.0
    for i, anchor in enumerate(anchors):
        shares, everyone = [], 0.0
        for within, view in enumerate(unit):
            for j, other in enumerate(view):
                if within and same[i, j]:
                    continue
                similarity = math.exp(anchor.dot(other).item() / scale)
                everyone += similarity / (2 * len(anchors))
                if alike[i, j] or same[i, j]:
                    shares.append(similarity)
        total -= sum(math.log(share / everyone) for share in shares) / len(shares)
    return total / len(anchors)


def views(rows: int = 12) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    first, second = normal(rows, 5), normal(rows, 5, seed=1)
    same, converted = torch.eye(rows, dtype=torch.bool), torch.arange(rows) % 4 == 0
    same[1, 2] = same[2, 1] = True
    return first, second, same, converted & converted.unsqueeze(1)


def test_contrast_agrees_with_loops() -> None:
    first, second, same, alike = views()
    expected = by_loops(first, second, same, alike, 0.5) + by_loops(second, first, same, alike, 0.5)
    found = CL4CVR.contrastive_loss(first, second, same, alike, 0.5).item()
    assert found == pytest.approx(expected, rel=1e-12)


def test_aligned_views_lose_less() -> None:
    first, second, same, alike = views()
    aligned = CL4CVR.contrastive_loss(first, first + 0.1 * second, same, alike, 0.5)
    assert aligned < CL4CVR.contrastive_loss(first, second, same, alike, 0.5)
    assert aligned < CL4CVR.contrastive_loss(first, first.roll(3, 0), same, alike, 0.5)


def test_doubled_rows_change_nothing() -> None:
    first, second, same, alike = views()
    one, other = first.tile(2, 1), second.tile(2, 1)
    doubled = CL4CVR.contrastive_loss(one, other, same.tile(2, 2), alike.tile(2, 2), 0.5)
    torch.testing.assert_close(doubled, CL4CVR.contrastive_loss(first, second, same, alike, 0.5))


def test_same_impressions_agree_in_every_field() -> None:
    ids = torch.tensor([[1, 2], [1, 3], [1, 2], [4, 2]])
    expected = torch.eye(4, dtype=torch.bool)
    expected[0, 2] = expected[2, 0] = True
    assert CL4CVR.same_ids(ids).equal(expected)
