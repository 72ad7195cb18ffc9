"""References of equal capacity: as many parameters as a method has, on the same backbone."""

from __future__ import annotations

import pytest
import torch
from helpers.worlds import schema

from benchmark import registry
from benchmark.config import BackboneParams
from benchmark.execution.capacity import matched, parameters
from benchmark.references import TOLERANCE, is_matched
from benchmark.training.backbones import blueprint
from benchmark.training.method import Method

BACKBONE = BackboneParams(
    name="embeddings", embedding_size=4, hidden=(), tower=(16, 8), dropout=0.0
)
KINDS = {name: registry.load("methods", name, Method) for name in registry.names("methods")}
COUNTS = {
    name: parameters(kind, schema(), BACKBONE)
    for name, kind in KINDS.items()
    if kind.missing(schema()) is None
}
REFERENCE = min((name for name in COUNTS if COUNTS[name]), key=lambda name: COUNTS[name])


def test_every_larger_method_has_a_reference_of_its_size_on_the_same_backbone() -> None:
    found = matched(KINDS[REFERENCE], COUNTS.values(), schema(), BACKBONE)
    for count in COUNTS.values():
        if count >= COUNTS[REFERENCE]:
            sizes = (COUNTS[REFERENCE], *found)
            assert any(is_matched(size, count) for size in sizes), count
    for count, backbone in found.items():
        assert parameters(KINDS[REFERENCE], schema(), backbone) == count
        assert backbone.model_copy(update={"tower": BACKBONE.tower}) == BACKBONE
        first, second = backbone.tower
        assert first == pytest.approx(2 * second, abs=1), "towers keep their shape"


def test_a_reference_serves_all_methods_within_the_tolerance() -> None:
    count = 3 * COUNTS[REFERENCE]
    alike = [count, round(count * (1 + 0.4 * TOLERANCE)), round(count * (1 + 0.8 * TOLERANCE))]
    assert len(matched(KINDS[REFERENCE], alike, schema(), BACKBONE)) == 1


def test_methods_without_more_parameters_get_no_reference_of_their_own() -> None:
    few = [0, COUNTS[REFERENCE] - 1, COUNTS[REFERENCE]]
    assert not matched(KINDS[REFERENCE], few, schema(), BACKBONE)


def test_counting_parameters_draws_no_random_number() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    parameters(KINDS[REFERENCE], schema(), BACKBONE)
    assert torch.equal(before, torch.random.get_rng_state())
    built = KINDS[REFERENCE](blueprint(schema(), BACKBONE))
    assert sum(p.numel() for p in built.parameters()) == COUNTS[REFERENCE]
