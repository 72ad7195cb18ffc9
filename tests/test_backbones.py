"""The encoders by name: what each computes, and that every method can be trained on it."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from helpers.histories import LENGTH, remembering, remembering_funnel, with_history
from helpers.plugins import methods_that_load
from helpers.watch import Watch
from helpers.worlds import make_batch, schema
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from benchmark.config import BackboneParams
from benchmark.schema import Schema
from benchmark.training.backbones import blueprint
from benchmark.training.backbones.dhen import DHEN
from benchmark.training.backbones.eta import ETA
from benchmark.training.backbones.interactions import (
    Cross,
    FactorisationMachine,
    InnerProducts,
    Interaction,
)
from benchmark.training.backbones.mirrn import MIRRN, FourierFilter
from benchmark.training.backbones.neumf import NeuMF
from benchmark.training.backbones.retrieval import SimHash, TargetAttention, nearest, taken
from benchmark.training.backbones.sfg import SFG
from benchmark.training.batch import Features
from benchmark.training.blueprint import Backbone, Embeddings
from benchmark.training.trainer import train_batch

PLAIN, REMEMBERING = schema(), with_history(schema())
KINDS: dict[str, tuple[Schema, str, dict[str, Any]]] = {
    "embeddings": (PLAIN, "embeddings", {}),
    "embeddings, history": (REMEMBERING, "embeddings", {}),
    "DHEN": (PLAIN, "DHEN", {}),
    "DHEN, history": (REMEMBERING, "DHEN", {"layers": 1}),
    "SFG": (PLAIN, "SFG", {}),
    "SFG of DHEN": (REMEMBERING, "SFG", {"base": "DHEN", "base_options": {"layers": 1}}),
    "SFG of ETA": (REMEMBERING, "SFG", {"base": "ETA"}),
    "SFG of DeepFM": (PLAIN, "SFG", {"base": "DeepFM"}),
    "SFG of NFM": (PLAIN, "SFG", {"base": "NFM"}),
    "SFG of PNN": (PLAIN, "SFG", {"base": "PNN"}),
    "ETA": (REMEMBERING, "ETA", {"retrieved": 3}),
    "NeuMF": (PLAIN, "NeuMF", {"pair": ["user", "item"]}),
    "NeuMF, history": (REMEMBERING, "NeuMF", {"pair": ["user", "item"]}),
    "MIRRN": (REMEMBERING, "MIRRN", {"retrieved": 3, "recent": 2}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def params(name: str, options: dict[str, Any], **changes: Any) -> BackboneParams:
    small = {"embedding_size": 4, "hidden": (), "tower": (6,), "dropout": 0.0, **changes}
    return BackboneParams(name=name, options=options, **small)


def encoder(made: Schema, name: str, changes: Any = (), **options: Any) -> Any:
    torch.manual_seed(1)
    backbone = blueprint(made, params(name, options, **dict(changes))).backbone()
    for parameter in backbone.parameters():  # embeddings so small would hide what is made of them
        parameter.data += 0.3 * torch.randn_like(parameter)
    return backbone


def of(kind: str, **changes: Any) -> Any:
    made, name, options = KINDS[kind]
    return encoder(made, name, changes, **options)


def inputs(made: Schema, rows: int = 32) -> Features:
    features = make_batch(made, rows).features
    return remembering(features, made) if made.sequences else features


def rows_of(features: Features, rows: slice) -> Features:
    return Features(*(None if part is None else part[rows] for part in vars(features).values()))


# --- all of them


@every_kind
def test_two_towers_train_every_parameter(kind: str) -> None:
    backbone, made = of(kind), KINDS[kind][0]
    towers = blueprint(made, params(*KINDS[kind][1:])).towers(2, backbone.width)
    encoding = backbone(inputs(made))
    assert encoding.shape == (32, backbone.width)
    sum(logit.sigmoid().log().mean() for logit in towers(encoding)).backward()
    for path, parameter in backbone.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert parameter.grad.any(), path


@every_kind
def test_encodings_have_the_width_that_hidden_layers_end_in(kind: str) -> None:
    backbone = of(kind, hidden=(7, 5))
    assert backbone(inputs(KINDS[kind][0])).shape == (32, backbone.width)


@every_kind
def test_a_row_ignores_its_batch(kind: str) -> None:
    backbone, features = of(kind).eval(), inputs(KINDS[kind][0])
    together = backbone(features)
    for row in (0, 7, 31):
        alone = backbone(rows_of(features, slice(row, row + 1)))
        torch.testing.assert_close(alone, together[row : row + 1], rtol=1e-4, atol=1e-5)


@every_kind
def test_every_input_matters(kind: str) -> None:
    backbone, features = of(kind).eval(), inputs(KINDS[kind][0])
    before = backbone(features)
    changes = [replace(features, dense=features.dense + 1)]
    for column, field in enumerate(KINDS[kind][0].categorical):
        ids = features.sparse.clone()
        ids[:, column] = (ids[:, column] + 1) % field.size
        changes.append(replace(features, sparse=ids))
    for changed in changes:
        assert (backbone(changed) != before).any(1).all()
    if features.sequences is not None:
        seen = features.sequences % 4 + 1
        changed = replace(features, sequences=torch.where(features.sequences > 0, seen, 0))
        some = (features.sequences > 0).any(2).squeeze(1)
        assert some.any()
        assert not some.all()
        assert torch.equal((backbone(changed) != before).any(1), some)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][0] is REMEMBERING])
def test_padding_says_nothing_and_learns_nothing(kind: str) -> None:
    backbone, features = of(kind).eval(), inputs(REMEMBERING)
    features = replace(features, sparse=features.sparse.clamp_min(1))
    table = getattr(backbone, "base", backbone).table
    padding = PLAIN.categorical[0].size  # where the ids of items start
    before = backbone(features)
    (learned,) = torch.autograd.grad(before.square().sum(), table.weight)
    assert learned.any(1).sum() > 1
    assert not learned[padding].any()
    table.weight.data[padding] += 1
    assert backbone(features).equal(before)


@every_kind
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_step_takes_nothing_from_the_host(kind: str, device: str) -> None:
    backbone, features = of(kind).to(device), inputs(KINDS[kind][0])
    moved = (None if part is None else part.to(device) for part in vars(features).values())
    on_device = Features(*moved)
    with Watch(device) as watch:
        backbone(on_device).sum().backward()
    assert not watch.from_host


@every_kind
def test_a_copy_is_independent_and_a_state_restores_it(kind: str) -> None:
    backbone, features = of(kind).eval(), inputs(KINDS[kind][0])
    expected, state = backbone(features), copy.deepcopy(backbone.state_dict())
    copied = copy.deepcopy(backbone)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.zero_()
    torch.testing.assert_close(copied(features), expected)
    other = of(kind).eval()
    other.load_state_dict(state)
    torch.testing.assert_close(other(features), expected)


@every_kind
def test_hidden_layers_end_all_but_those_of_recbole(kind: str) -> None:
    backbone = of(kind, hidden=(5,))
    if isinstance(getattr(backbone, "base", backbone), Embeddings):
        beside = len(backbone.beside.pairs) if getattr(backbone, "beside", None) else 0
        beside += backbone.vector_size if isinstance(backbone, NeuMF) else 0
        assert backbone.width == 5 + beside
    assert backbone(inputs(KINDS[kind][0])).shape == (32, backbone.width)


METHODS = methods_that_load()
GRADIENT_METHODS = [name for name in METHODS if METHODS[name].fit is None]


@lru_cache
def rows(made: str) -> Any:
    chosen = KINDS[made][0]
    batch = make_batch(chosen, 24)
    return remembering_funnel(batch, chosen) if chosen.sequences else batch


@pytest.mark.parametrize("kind", ["SFG of DeepFM", "MIRRN"])  # of RecBole, and with a history
@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_every_gradient_method_takes_a_step_on_it(name: str, kind: str) -> None:
    made, backbone, options = KINDS[kind]
    torch.manual_seed(0)
    method = METHODS[name](blueprint(made, params(backbone, options)))
    before = {key: value.clone() for key, value in method.backbone.named_parameters()}
    optimizer = torch.optim.Adam(method.parameters(), lr=0.01)
    for updates in (*(phase.updates for phase in method.warm_up()), method.updates):
        method.start_epoch()
        train_batch(optimizer, updates, rows(kind))
    after = dict(method.backbone.named_parameters())
    assert all(value.isfinite().all() for value in after.values())
    assert any(not value.equal(before[key]) for key, value in after.items())
    assert method(rows(kind).features).cvr.log.isfinite().all()


# --- what is refused


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("embeddings", {"layers": 2}, "'layers' of the backbone embeddings: .*; known: none"),
        ("DeepFM", {"k": 1}, "'k' of the backbone DeepFM: .*; known: none"),
        ("DHEN", {"depth": 1}, "'depth' of the backbone DHEN: .*; known: layers, parts, heads"),
        ("DHEN", {"layers": 0}, "'layers' of the backbone DHEN: .* greater than 0"),
        ("DHEN", {"parts": ["mlp", "cnn"]}, r"'parts.1' of .*'mlp', 'cross', 'attention' or 'dot'"),
        ("DHEN", {"parts": []}, "'parts' of the backbone DHEN: .* at least 1"),
        ("SFG", {"base": "AutoInt"}, "'base' of the backbone SFG: .*'DeepFM', 'NFM' or 'PNN'"),
        ("SFG", {"base": "DHEN", "base_options": {"x": 1}}, "'x' of the backbone DHEN"),
    ],
)
def test_a_bad_option_is_one_sentence(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        blueprint(PLAIN, params(name, options))
    assert "\n" not in str(error.value)


def test_heads_that_do_not_divide_the_embedding_are_refused() -> None:
    for name in ("DHEN", "MIRRN"):
        with pytest.raises(ValueError, match=f"'heads' of the backbone {name} is 3, .* size 4"):
            encoder(REMEMBERING, name, heads=3)


@pytest.mark.parametrize("name", ["ETA", "MIRRN"])
def test_what_needs_a_history_says_so(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} attends to a history, which tiny lacks"):
        encoder(PLAIN, name)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        LookupError, match=r"no backbone 'dhen'; did you mean 'DHEN'\? Known: .*SFG"
    ):
        blueprint(PLAIN, params("dhen", {}))


# --- DHEN


def test_one_layer_of_one_mlp_is_that_mlp_with_shortcut_and_norm() -> None:
    backbone, features = encoder(PLAIN, "DHEN", layers=1, parts=["mlp"]), inputs(PLAIN)
    (layer,) = backbone.layers
    (part,) = layer.parts
    first, last = (module for module in part if isinstance(module, nn.Linear))
    x = backbone.vectors(features)
    made = last(first(x.flatten(1)).relu()).view_as(x)
    normed = layer_norm(x + made, (4,), layer.norm.weight, layer.norm.bias)
    torch.testing.assert_close(backbone(features), normed.flatten(1))


def test_a_layer_adds_up_its_modules_and_the_next_one_reads_it() -> None:
    backbone, features = encoder(PLAIN, "DHEN", layers=3), inputs(PLAIN)
    assert backbone.width == 3 * 4  # two fields, one number
    x = backbone.vectors(features)
    torch.testing.assert_close(x[:, 2], features.dense * backbone.dense)
    for layer in backbone.layers:
        assert len(layer.parts) == 4
        assert all(part(x).shape == x.shape for part in layer.parts)
        x = layer.norm(x + torch.stack([part(x) for part in layer.parts]).sum(0))
    torch.testing.assert_close(backbone(features), x.flatten(1))


def test_products_are_those_of_their_definitions() -> None:
    torch.manual_seed(0)
    x, h = torch.randn(2, 5, 3, 4).unbind(0)
    pairs = [(0, 1), (0, 2), (1, 2)]
    dots, machine, cross = (
        InnerProducts(3, 4),
        FactorisationMachine(3, 4, scalar=False),
        Cross(3, 4),
    )
    for left in (x, h):
        for part in (dots, machine, cross):
            part.generate = Constant(left)
        products = torch.stack([left[:, i] * x[:, j] for i, j in pairs], 1)
        torch.testing.assert_close(dots(x), products.sum(2))
        torch.testing.assert_close(machine(x), products.sum(1))
        crossed = left.flatten(1) * cross.linear(x.flatten(1))
        torch.testing.assert_close(cross(x), crossed.view_as(x))
    squares = (x.sum(1) ** 2 - (x**2).sum(1)) / 2
    machine.generate = nn.Identity()
    torch.testing.assert_close(machine(x), squares)


class Constant(nn.Module):
    """Generates the same, whatever it is given."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, vectors: Tensor) -> Tensor:
        return self.value


# --- SFG


def interactions(backbone: nn.Module) -> list[Interaction]:
    return [module for module in backbone.modules() if isinstance(module, Interaction)]


def plain_base(kind: str) -> Any:
    """Return an SFG whose generators do nothing, and its base as it is without."""
    wrapped = of(kind).eval()
    for interaction in interactions(wrapped):
        interaction.generate = nn.Identity()
    made, _, options = KINDS[kind]
    base = encoder(made, options.get("base", "embeddings"), **options.get("base_options", {}))
    base.load_state_dict(wrapped.base.state_dict())
    return wrapped, base.eval()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("SFG of")])
def test_with_an_identity_for_its_encoder_the_base_remains(kind: str) -> None:
    wrapped, base = plain_base(kind)
    features = inputs(KINDS[kind][0])
    torch.testing.assert_close(wrapped(features)[:, : base.width], base(features))


@pytest.mark.parametrize("kind", ["SFG", "SFG of ETA"])
def test_a_base_without_products_gets_those_of_all_pairs(kind: str) -> None:
    wrapped, base = plain_base(kind)
    features = inputs(KINDS[kind][0])
    x = base.vectors(features)
    count = x.shape[1]
    dots = [(x[:, i] * x[:, j]).sum(1) for i in range(count) for j in range(i + 1, count)]
    expected = torch.cat([base(features), torch.stack(dots, 1)], 1)
    torch.testing.assert_close(wrapped(features), expected)


def test_all_fields_generate_the_left_factor_of_every_product() -> None:
    backbone, features = encoder(PLAIN, "SFG"), inputs(PLAIN)
    assert isinstance(backbone, SFG)
    x = backbone.base.vectors(features)
    (interaction,) = interactions(backbone)
    linear = interaction.generate.linear
    assert linear.bias is None
    h = (x.flatten(1) @ linear.weight.T).relu().view_as(x)
    torch.testing.assert_close(backbone(features)[:, -1], (h[:, 0] * x[:, 1]).sum(1))


def test_each_interaction_of_a_deep_base_has_a_generator_of_its_own() -> None:
    backbone = encoder(PLAIN, "SFG", base="DHEN", base_options={"layers": 2})
    found = interactions(backbone)
    assert [type(part) for part in found] == [Cross, InnerProducts] * 2
    assert len({id(part.generate) for part in found}) == 4


# --- histories


def test_the_nearest_are_those_of_least_hamming_distance_the_recent_first() -> None:
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(2, (40, 9, 5), generator=generator)
    query = torch.randint(2, (40, 5), generator=generator)
    known = torch.rand(40, 9, generator=generator) < 0.7
    found = nearest(2.0 * query - 1, 2.0 * bits - 1, known, 4)
    for row in range(40):
        distance = (bits[row] != query[row]).sum(1).masked_fill(~known[row], 99).tolist()
        exact = sorted(range(9), key=lambda place: (distance[place], -place))[:4]
        assert found[row].tolist() == sorted(exact)
    everything = nearest(2.0 * query - 1, 2.0 * bits - 1, known, 99)
    assert everything.tolist() == [list(range(9))] * 40


def test_hashes_differ_in_the_share_that_the_angle_says() -> None:
    torch.manual_seed(0)
    signs = SimHash(2, 20_000)
    angle = torch.tensor([0.0, 0.5, 1.5, 3.0])
    made = signs(torch.stack([angle.cos(), angle.sin()], 1))
    share = (made != made[0]).float().mean(1)
    torch.testing.assert_close(share, angle / torch.pi, rtol=0, atol=0.015)


def test_what_is_not_known_is_farther_than_the_opposite_of_the_query() -> None:
    query, opposite = torch.ones(1, 3), -torch.ones(1, 4, 3)
    known = torch.tensor([[True, False, True, False]])
    assert nearest(query, opposite, known, 2).tolist() == [[0, 2]]
    assert nearest(query, opposite, known, 3).tolist() == [[0, 2, 3]]


def test_taken_are_the_values_at_the_places() -> None:
    values, places = torch.arange(24).view(2, 3, 4), torch.tensor([[0, 2], [1, 1]])
    assert taken(values, places).tolist() == [
        values[0, [0, 2]].tolist(),
        values[1, [1, 1]].tolist(),
    ]
    assert taken(values[:, :, 0], places).tolist() == [[0, 8], [16, 16]]


def test_attention_weighs_what_is_known_by_its_likeness_to_the_target() -> None:
    torch.manual_seed(0)
    attention = TargetAttention(4)
    target, behaviours = torch.randn(3, 4), torch.randn(3, 5, 4)
    known = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]) > 0
    out = attention(target, behaviours, known)
    for row in range(3):
        kept = behaviours[row, known[row]]
        keys, query = kept @ attention.key.weight.T, attention.query.weight @ target[row]
        expected = (keys @ query / 2).softmax(0) @ kept @ attention.value.weight.T
        torch.testing.assert_close(out[row], expected)


@pytest.mark.parametrize("retrieved", [2, LENGTH])
def test_eta_attends_to_what_hashes_like_the_target_and_to_all_if_it_may(retrieved: int) -> None:
    backbone, features = encoder(REMEMBERING, "ETA", retrieved=retrieved), inputs(REMEMBERING)
    assert isinstance(backbone, ETA)
    encoding = backbone(features)
    assert features.sequences is not None
    embedding = backbone.table.weight[backbone.starts[1] :]
    for row in range(32):
        ids = features.sequences[row, 0]
        target, behaviours = embedding[features.sparse[row, 1]], embedding[ids]
        codes, code = behaviours @ backbone.hash.planes > 0, target @ backbone.hash.planes > 0
        distance = (codes != code).sum(1)
        places = [place for place in range(LENGTH) if ids[place] > 0]
        places = sorted(places, key=lambda p: (int(distance[p]), -p))[:retrieved]
        kept = behaviours[sorted(places)].unsqueeze(0)
        everything = torch.ones(1, len(places), dtype=torch.bool)
        expected = backbone.attentions[0](target.unsqueeze(0), kept, everything)
        torch.testing.assert_close(encoding[row, 8:12], expected[0])


def test_hashing_takes_no_gradient_and_its_planes_never_learn() -> None:
    for name in ("ETA", "MIRRN"):
        backbone = encoder(REMEMBERING, name)
        assert "hash.planes" in backbone.state_dict()
        assert "hash.planes" not in dict(backbone.named_parameters())
    vectors = torch.randn(3, 4, requires_grad=True)
    assert not SimHash(4, 5)(vectors).requires_grad


def test_mirrn_attends_to_three_refined_interests() -> None:
    backbone, features = encoder(REMEMBERING, "MIRRN", retrieved=2, recent=3), inputs(REMEMBERING)
    assert isinstance(backbone, MIRRN)
    (interests,), encoding = backbone.interests, backbone(features)
    assert features.sequences is not None
    embedding = backbone.table.weight[backbone.starts[1] :]
    for row in range(32):
        ids = features.sequences[row, 0]
        known, behaviours = ids > 0, embedding[ids]
        target = embedding[features.sparse[row, 1]]
        recent = behaviours[-3:][known[-3:]]
        nothing = torch.zeros(4)
        local = recent.mean(0) if len(recent) else nothing
        whole = behaviours[known].mean(0) if known.any() else nothing
        found = []
        for query, refine in zip((target, local, whole), interests.filters, strict=True):
            signs = backbone.hash(query.unsqueeze(0)), backbone.hash(behaviours.unsqueeze(0))
            (places,) = nearest(*signs, known.unsqueeze(0), 2)
            kept = (behaviours + interests.position)[places].unsqueeze(0)
            found.append(refine(kept, known[places].unsqueeze(0))[0])
        anything = known.any().expand(1, 3)
        expected = interests.attention(
            target.unsqueeze(0), torch.stack(found).unsqueeze(0), anything
        )
        torch.testing.assert_close(encoding[row, 8:12], expected[0])


def test_the_filter_is_a_circular_convolution_in_time() -> None:
    torch.manual_seed(0)
    refine, known = FourierFilter(4, 2), torch.ones(2, 5, dtype=torch.bool)
    refine.weight.data.normal_()
    x = torch.randn(2, 5, 4)
    later = x.roll(2, 1)
    torch.testing.assert_close(refine(later, known), refine(x, known))  # the mean forgets the shift
    with torch.no_grad():
        refine.weight.zero_()
    torch.testing.assert_close(refine(x, known), refine.norm(x).mean(1))


def test_the_filter_keeps_its_heads_apart() -> None:
    torch.manual_seed(0)
    refine, known = FourierFilter(4, 2), torch.ones(1, 5, dtype=torch.bool)
    refine.weight.data.normal_()
    refine.norm = nn.Identity()
    x = torch.randn(1, 5, 4)
    changed = x.clone()
    changed[:, :, 2:] += torch.randn(1, 5, 2)
    before, after = refine(x, known), refine(changed, known)
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert (before[:, 2:] != after[:, 2:]).all()


def test_names_make_the_classes_they_say() -> None:
    expected: dict[str, type[Backbone]] = {"DHEN": DHEN, "ETA": ETA, "MIRRN": MIRRN, "SFG": SFG}
    for name, kind in expected.items():
        assert type(encoder(REMEMBERING, name)) is kind
