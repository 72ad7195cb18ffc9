"""Architectures that share between CTR and CVR: what each becomes when its sharing is set."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.plugins import method_module
from helpers.worlds import blueprint, make_batch, schema
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from benchmark import registry
from benchmark.training.losses import click_cvr_loss, ctr_loss, ips_loss
from benchmark.training.method import Method
from benchmark.training.modules.experts import GroupedExperts

BehaviourGraph, Extraction = method_module("gmcm").BehaviourGraph, method_module("ple").Extraction

FUNNEL = make_batch(schema(), 100)
ARCHITECTURES = (
    "mmoe", "shared_bottom", "omoe", "ple", "cross_stitch", "stem_net", "dbmtl", "dc2vr",
)  # fmt: skip


def build(name: str, **hyperparameters: Any) -> Any:
    """Return a method whose parts a test may replace."""
    torch.manual_seed(0)
    method = registry.load("methods", name, Method)(blueprint(schema()), **hyperparameters)
    return method.double().eval()


def log_odds(method: Method) -> Tensor:
    """Return the logits of CTR and CVR, (2, B)."""
    prediction = method(FUNNEL.features)
    assert prediction.ctr is not None
    return torch.stack([p.log - p.log_not for p in (prediction.ctr, prediction.cvr)])


def copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())


def assert_same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_clicks_are_learned_from_impressions_and_conversions_from_clicks(name: str) -> None:
    method = build(name, cvr_weight=3.0)
    prediction = method(FUNNEL.features)
    expected = ctr_loss(prediction, FUNNEL) + 3 * click_cvr_loss(prediction, FUNNEL)
    assert_same(method.loss(FUNNEL), expected)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_something_is_shared(name: str) -> None:
    method = build(name)
    learned = [touched(method, task) for task in (0, 1)]
    assert learned[0] & learned[1]
    assert learned[0] != learned[1]


def touched(method: Method, task: int) -> set[str]:
    """Return the parameters and, of parallel ones, the parts that a task's logits depend on."""
    parameters = dict(method.named_parameters())
    loss = log_odds(method)[task].square().sum()
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {
        f"{key}[{i}]"
        for key, gradient in zip(parameters, found, strict=True)
        if gradient is not None
        for i, part in enumerate(gradient)
        if part.any()
    }


# --- mixtures


def test_equal_gates_make_many_gates_one() -> None:
    many, one = build("mmoe", experts=3), build("omoe", experts=3)
    for part in ("backbone", "layer", "towers"):
        copy(getattr(many, part), getattr(one, part))
    assert not torch.allclose(log_odds(many), log_odds(one))
    one.gate.weight.data.copy_(many.gates.weight.data[0].T)
    one.gate.bias.data.copy_(many.gates.bias.data[0, 0])
    many.gates.weight.data[1] = many.gates.weight.data[0]
    many.gates.bias.data[1] = many.gates.bias.data[0]
    assert_same(log_odds(many), log_odds(one))


def orthonormal(matrix: Tensor) -> Tensor:
    """Return a matrix of two columns after Gram and Schmidt."""
    first = matrix[:, 0] / matrix[:, 0].norm()
    rest = matrix[:, 1] - (matrix[:, 1] @ first) * first
    return torch.stack([first, rest / rest.norm()], 1)


def intervened() -> tuple[Any, Any]:
    """Return a mixture whose CVR an intervention moves, and the same one without."""
    moved, plain = build("dc2vr", experts=3), build("mmoe", experts=3)
    moved.towers.layers[3].bias.data += 1  # lest no hidden unit is active
    for part in ("backbone", "gates", "layer", "towers"):
        copy(getattr(moved, part), getattr(plain, part))
    moved.directions.data = 2 * torch.randn_like(moved.directions)
    return moved, plain


def test_an_intervention_moves_the_cvr_by_what_two_encodings_differ_in_few_directions() -> None:
    moved, plain = intervened()
    base, source = map(orthonormal, moved.directions)
    clicks, conversions = plain.towers.hidden(plain.encode(FUNNEL.features))
    last = plain.towers.layers[-1]
    rows = []
    for click, conversion in zip(clicks, conversions, strict=True):
        hidden = conversion.clone()
        for k in range(2):
            hidden = hidden + (conversion @ base[:, k] - click @ source[:, k]) * base[:, k]
        rows.append(hidden @ last.weight[1, :, 0] + last.bias[1, 0, 0])
    assert_same(log_odds(moved)[1], torch.stack(rows))
    assert_same(log_odds(moved)[0], log_odds(plain)[0])


def test_an_intervention_teaches_the_cvr_alone() -> None:
    moved, _ = intervened()
    own = list(moved.towers.layers[0].parameters())
    (cvr,) = torch.autograd.grad(log_odds(moved)[1].sum(), own[:1])
    assert not cvr[0].any()  # of the tower of the CTR
    assert cvr[1].any()
    for loss, taught in ((log_odds(moved)[0], False), (log_odds(moved)[1], True)):
        (found,) = torch.autograd.grad(loss.sum(), moved.directions)
        assert bool(found.any()) == taught


def test_directions_keep_their_sign_while_they_turn() -> None:
    rising = torch.linspace(-0.1, 0.1, 9)
    made = [
        method_module("dc2vr").orthonormal(torch.tensor([[[x, 1.0], [1.0, x]]] * 2))
        for x in rising.tolist()
    ]
    steps = torch.stack(made).diff(dim=0)
    assert steps.abs().max() < 0.1


def test_one_expert_is_a_shared_bottom() -> None:
    mixture, bottom = build("omoe", experts=1), build("shared_bottom")
    copy(mixture.layer, bottom.bottom)
    for part in ("backbone", "towers"):
        copy(getattr(mixture, part), getattr(bottom, part))
    assert_same(log_odds(mixture), log_odds(bottom))


def test_one_level_without_shared_experts_is_separate_experts() -> None:
    method = build("ple", levels=1, own_experts=1, shared_experts=0)
    encoding = method.backbone(FUNNEL.features)
    apart = method.towers(method.extractions[0].experts.layer(encoding))
    assert_same(log_odds(method), torch.stack(apart))
    shared = touched(method, 0) & touched(method, 1)
    assert shared
    assert all(key.startswith("backbone") for key in shared)


def test_one_level_without_own_experts_mixes_as_gates_per_task_do() -> None:
    level, mixture = (
        build("ple", levels=1, own_experts=0, shared_experts=3),
        build("mmoe", experts=3),
    )
    copy(level.extractions[0].gates, mixture.gates)
    copy(level.extractions[0].experts.layer, mixture.layer)
    for part in ("backbone", "towers"):
        copy(getattr(level, part), getattr(mixture, part))
    assert_same(log_odds(level), log_odds(mixture))


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_only_the_shared_path_carries_one_tasks_experts_to_the_other(levels: int) -> None:
    method = build("ple", levels=levels, own_experts=1, shared_experts=1)
    own = {f"extractions.{level}.experts.layer.0.weight[0]" for level in range(levels)}
    carried = own - {f"extractions.{levels - 1}.experts.layer.0.weight[0]"}
    assert own <= touched(method, 0)
    assert own & touched(method, 1) == carried


def test_groups_see_their_own_and_the_shared_experts() -> None:
    parts = blueprint(schema())
    assert GroupedExperts(parts, (2, 1, 1), 5).foreign.tolist() == [
        [False, False, True, False],
        [True, True, False, False],
        [False, False, False, False],
    ]
    torch.manual_seed(0)
    level = Extraction(parts, (1, 1, 1), 5, paths=3).eval()
    inputs = torch.randn(3, 7, 5)
    before = level(inputs)
    inputs[1] += 1
    changed = (level(inputs) != before).any(2).any(1)
    assert changed.tolist() == [False, True, True]


# --- units and tables


def test_identity_stitches_are_separate_towers() -> None:
    method = build("cross_stitch", own_share=1.0)
    towers = method.towers(method.backbone(FUNNEL.features))
    assert_same(log_odds(method), torch.stack(towers))
    method.stitches.data[0, 1] = torch.tensor([1.0, 0.0])  # the conversion reads the click
    assert_same(log_odds(method)[0], towers[0])
    assert not torch.allclose(log_odds(method)[1], towers[1])
    assert "towers.layers.0.weight[1]" not in touched(method, 0) | touched(method, 1)


def test_even_stitches_give_both_tasks_the_same_activations() -> None:
    method = build("cross_stitch", own_share=0.5)
    last = method.towers.layers[-1]
    last.weight.data[1], last.bias.data[1] = last.weight.data[0], last.bias.data[0]
    ctr, cvr = log_odds(method)
    assert_same(ctr, cvr)
    with_own = build("cross_stitch", own_share=0.9)
    copy(method.towers, with_own.towers)
    assert not torch.allclose(*log_odds(with_own))


@pytest.mark.parametrize("task", [0, 1])
def test_tables_learn_from_their_own_task_only_and_serve_both(task: int) -> None:
    method = build("stem_net")
    learned = {key.split("[")[0] for key in touched(method, task)}
    tables = [f"own_backbones.{i}.table.weight" for i in (task, 1 - task)]
    assert {"backbone.table.weight", tables[0]} <= learned
    assert tables[1] not in learned
    before = log_odds(method)[task].clone()
    method.own_backbones[1 - task].table.weight.data += 1
    assert not torch.allclose(log_odds(method)[task], before)


def test_foreign_experts_are_read_and_not_taught() -> None:
    method = build("stem_net", own_experts=2, shared_experts=1)
    weights = [f"experts.layer.0.weight[{i}]" for i in range(5)]
    assert [w in touched(method, 0) for w in weights] == [True, True, False, False, True]
    assert [w in touched(method, 1) for w in weights] == [False, False, True, True, True]


def test_links_lead_from_the_click_to_the_conversion() -> None:
    method = build("dbmtl")
    ctr, cvr = touched(method, 0), touched(method, 1)
    assert "click_link.0.weight[0]" in ctr & cvr
    assert not any(key.startswith("conversion_link") for key in ctr)
    own, other = "specific.0.weight[0]", "specific.0.weight[1]"
    assert [own in ctr, other in ctr, own in cvr, other in cvr] == [True, False, True, True]


def test_attention_without_preference_averages_both_sources() -> None:
    method = build("aitm")
    query, key, value = method.attention.weight.data.chunk(3)
    query.zero_()
    value.copy_(torch.eye(len(value)))
    click, conversion = method.layers(method.backbone(FUNNEL.features))
    even = (conversion + method.transfer(click)) / 2
    (expected,) = method.ctcvr_tower(even)
    _, ctcvr = method._steps(FUNNEL.features)
    assert_same(ctcvr.log - ctcvr.log_not, expected)
    assert key.any()


# --- the graph of behaviours


def test_edges_are_the_shares_of_co_occurring_labels() -> None:
    graph = BehaviourGraph(2, 3)
    graph.observe(torch.tensor([[1.0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]))
    assert graph.cooccurrences.equal(torch.tensor([[4.0, 2], [2, 3]]))
    graph.eval()
    graph.observe(torch.ones(2, 5))
    assert graph.cooccurrences.equal(torch.tensor([[4.0, 2], [2, 3]]))


def test_graph_without_edges_and_attention_averages_what_each_node_makes() -> None:
    torch.manual_seed(0)
    graph, nodes = BehaviourGraph(2, 3), torch.randn(2, 7, 3)
    graph.cooccurrences.copy_(torch.eye(2))
    nn.init.zeros_(graph.attention.weight)
    first, second = graph.convolutions
    apart = [second(first(node).relu()).relu() for node in nodes]
    torch.testing.assert_close(graph(nodes), (apart[0] + apart[1]) / 2)
    graph.cooccurrences.fill_(1)
    same = second(first(nodes.mean(0)).relu()).relu()
    torch.testing.assert_close(graph(nodes), same)


def test_equal_nodes_have_nothing_to_exchange() -> None:
    torch.manual_seed(0)
    graph, node = BehaviourGraph(2, 3), torch.randn(7, 3)
    first, second = graph.convolutions
    graph.cooccurrences.copy_(torch.tensor([[400.0, 2], [2, 3]]))
    alone = second(first(node).relu()).relu()
    torch.testing.assert_close(graph(node.expand(2, -1, -1)), alone)


def test_edges_are_counted_on_training_batches_by_the_loss() -> None:
    method = build("gmcm").train()
    method.loss(FUNNEL)
    labels = torch.stack([FUNNEL.micro, FUNNEL.macro]).double()  # type: ignore[list-item]
    assert method.graph.cooccurrences.equal(1 + labels @ labels.T)


def test_the_graph_method_weighs_clicks_and_predicts_its_nodes_on_them() -> None:
    method = build("gmcm", node_weight=3.0, propensity_floor=0.3)
    p = method(FUNNEL.features)
    clicks = FUNNEL.clicked > 0
    nodes = [
        binary_cross_entropy(step.value()[clicks], label[clicks].double())
        for step, label in ((p.micro, FUNNEL.micro), (p.macro, FUNNEL.macro))
    ]
    expected = ctr_loss(p, FUNNEL) + ips_loss(p, FUNNEL, 0.3) + 3 * sum(nodes)
    assert_same(method.loss(FUNNEL), expected)


def test_ctr_of_the_graph_method_learns_nothing_from_weighted_clicks() -> None:
    method = build("gmcm")
    tower = list(method.ctr_tower.parameters())
    whole = torch.autograd.grad(method.loss(FUNNEL), tower)
    alone = torch.autograd.grad(ctr_loss(method(FUNNEL.features), FUNNEL), tower)
    for mine, theirs in zip(whole, alone, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-15)
