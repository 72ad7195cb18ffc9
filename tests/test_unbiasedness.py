"""Whole methods where the truth is known: whose loss is least at the true mean CVR, and whose not.

All are given the true propensities and a CVR that is one number for every impression, so that the
best of these is the mean over impressions, 0.29, and the mean over clicks, 0.40, shows selection.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from helpers.worlds import FixedLogits, blueprint, schema, simulate
from torch import Tensor, nn

from benchmark import registry
from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.losses import ctcvr_loss
from benchmark.training.method import Method

MEAN = (math.log1p(math.exp(1.4)) - math.log1p(math.exp(-3.4))) / 4.8  # of σ(1.2x - 1)


def true_cvr(features: Features) -> Tensor:
    """Return the logits of the world's CVR."""
    return 1.2 * features.dense.squeeze(1) - 1


class Numbers(nn.Module):
    """Stands in for an encoder."""

    def forward(self, features: Features) -> Tensor:
        return features.dense


class Readable(FixedLogits):
    """Stands in for towers whose layers are read, of which none is hidden."""

    layers = nn.Sequential(nn.Identity())

    def read(self, hidden: Tensor) -> tuple[Tensor, ...]:
        return self.logits


class Stacked(FixedLogits):
    """Stands in for a tower of several outputs."""

    def forward(self, encoding: Tensor) -> Tensor:  # type: ignore[override]
        return torch.stack(self.logits, 1)


class Exactly(nn.Module):
    """Stands in for what returns a fixed value."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self, *_inputs: Tensor) -> Any:
        return self.value


@dataclass(frozen=True)
class World:
    """One draw: what was logged, and the logits that methods are given."""

    logged: Batch
    ctr: Tensor
    cvr: Tensor  # one number, which learns
    true: Tensor

    @classmethod
    def drawn(cls, seed: int, level: Tensor) -> World:
        truth, logged, _, _ = simulate(10_000, seed)
        assert truth.ctr is not None
        propensity = truth.ctr.log - truth.ctr.log_not
        return cls(logged, propensity, level.expand(10_000), true_cvr(logged.features))


def build(name: str, **hyperparameters: Any) -> Any:
    torch.manual_seed(0)
    kind = registry.load("methods", name, Method)
    if "propensity_floor" in kind.search_space:
        hyperparameters = {"propensity_floor": 1e-3, **hyperparameters}
    method: Any = kind(blueprint(schema()), **hyperparameters).double().eval()
    method.backbone = Numbers()
    return method


def alone(method: Any, world: World) -> None:
    method.towers = FixedLogits(world.cvr)


def oversampled(method: Any, world: World) -> None:
    method.towers = FixedLogits(world.cvr + math.log(method.copies))


def paired(method: Any, world: World) -> None:
    method.towers = FixedLogits(world.ctr, world.cvr)


def separate(method: Any, world: World) -> None:
    method.other = Numbers()
    method.ctr_tower, method.cvr_tower = FixedLogits(world.ctr), FixedLogits(world.cvr)
    method.imputer = Exactly(torch.zeros_like(world.ctr))


def imputing(method: Any, world: World) -> None:
    method.towers = FixedLogits(world.ctr, world.cvr, torch.zeros_like(world.ctr))


def converting(method: Any, world: World) -> None:
    method.towers = FixedLogits(world.ctr, world.cvr, world.true)


def declining(method: Any, world: World, off: float = 0.0) -> None:
    method.towers = FixedLogits(world.ctr, world.cvr, off - world.true)


def twins(method: Any, world: World) -> None:
    method.ctr_tower = FixedLogits(world.ctr)
    method.twin_tower = Stacked(world.cvr, torch.full_like(world.cvr, 3))


def taught(method: Any, world: World, *, exact: bool) -> None:
    """Let the teacher know the CVR, or what it is fitted to: CTR times CVR."""
    method.towers = Readable(world.ctr, world.cvr)
    label, ctr = Probability.from_logit(world.true), Probability.from_logit(world.ctr)
    method.teacher = Exactly((label if exact else ctr & label, []))


def distilling(method: Any, world: World) -> None:
    ctr, cvr = map(Probability.from_logit, (world.ctr, world.cvr))
    method.towers = Exactly((Prediction(ctr=ctr, cvr=cvr), torch.zeros_like(world.ctr)))
    method.teacher = Exactly(Prediction(cvr=Probability.from_logit(world.true)))


@dataclass(frozen=True)
class Case:
    """A method, what gives it its parts, and the weight of a CTCVR loss that is left out."""

    name: str
    given: Callable[[Any, World], None]
    options: dict[str, Any] = field(default_factory=dict)
    ctcvr: float = 0.0

    def slope(self, seed: int) -> Tensor:
        """Return the derivative of the loss by the one CVR, at its true mean."""
        level = torch.tensor(MEAN, dtype=torch.float64).logit().requires_grad_()
        world = World.drawn(seed, level)
        method = build(self.name, **self.options)
        self.given(method, world)
        loss = method.loss(world.logged)
        if self.ctcvr:
            loss = loss - self.ctcvr * ctcvr_loss(method(world.logged.features), world.logged)
        (found,) = torch.autograd.grad(loss, level)
        return found

    def standard_errors(self) -> float:
        """Return the mean slope of 30 worlds over its standard error."""
        slopes = torch.stack([self.slope(seed) for seed in range(30)])
        return float(slopes.mean() / slopes.std() * math.sqrt(len(slopes)))


IPS = {"ctcvr_weight": 0.0}
HIGH = {"propensity_floor": 0.5}
UNBIASED = {
    "inverse propensities": Case("multi_ipw", paired),
    "self-normalised": Case("multi_snips", paired),
    "doubly robust, any imputed label": Case("multi_dr", imputing),
    "doubly robust, any imputed error": Case("multi_dr", imputing, {"imputes": "error"}),
    "doubly robust, exact labels, high floor": Case("multi_dr", converting, HIGH),
    "regularised, inverse propensities": Case("escm2_ips", paired, IPS),
    "balanced, inverse propensities": Case("ips_v2", paired, IPS),
    "disentangled, inverse propensities": Case("dt_ips", separate),
    "disentangled, any imputed label": Case("dt_dr", separate),
    "regularised, self-normalised": Case("escm2_snips", paired, IPS),
    "regularised, doubly robust": Case("escm2_dr", imputing, IPS),
    "twins without a prior": Case("dcmt", twins, {"prior_weight": 0.0}, ctcvr=1),
    "aligned to exact soft labels": Case("chorus_cvr", declining, ctcvr=1),
    "taught by an exact teacher": Case("evi", partial(taught, exact=True), ctcvr=0.5),
}
TOO_HIGH = {
    "clicks": Case("naive", alone),
    "clicks, conversions copied": Case("oversampling", oversampled),
    "clicks, and their mean for all": Case("cvib", alone),
    "entire space": Case("esmm", paired),
    "soft labels on top of labels": Case("ddpo", converting, ctcvr=1),
    "clicks and an exact teacher, alike": Case("ukd", distilling),
    "aligned to labels too high": Case("chorus_cvr", partial(declining, off=-1.0), ctcvr=1),
    "regularised, a high floor": Case("escm2_ips", paired, IPS | HIGH),
    "doubly robust, wrong labels, high floor": Case("multi_dr", imputing, HIGH),
}
TOO_LOW = {
    "unclicked as negatives": Case("unclicked_negative", alone),
    "twins with a prior": Case("dcmt", twins, {"prior_weight": 1.0}, ctcvr=1),
    "entropy": Case("nise", paired),
    "taught what teachers learn": Case("evi", partial(taught, exact=False), ctcvr=0.5),
}


@pytest.mark.parametrize("case", UNBIASED)
def test_the_true_mean_is_where_the_loss_is_least(case: str) -> None:
    assert abs(UNBIASED[case].standard_errors()) < 3


@pytest.mark.parametrize("case", TOO_HIGH)
def test_a_loss_that_a_higher_cvr_lowers(case: str) -> None:
    assert TOO_HIGH[case].standard_errors() < -5


@pytest.mark.parametrize("case", TOO_LOW)
def test_a_loss_that_a_lower_cvr_lowers(case: str) -> None:
    assert TOO_LOW[case].standard_errors() > 5
