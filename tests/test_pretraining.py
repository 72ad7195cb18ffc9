"""Pre-training: it learns from features, moves encoders only, and off is nothing."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.histories import remembering, with_history
from helpers.worlds import make_batch, schema
from pydantic import ValidationError
from torch import Tensor, nn

from benchmark import registry
from benchmark.config import BackboneParams, Pretraining, Protocol
from benchmark.schema import Field, Schema
from benchmark.training.backbones import blueprint
from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Backbone, Embeddings
from benchmark.training.host_table import in_host_memory
from benchmark.training.losses import click_cvr_loss
from benchmark.training.method import Method
from benchmark.training.pretraining import (
    MaskedFeatures,
    PretrainingTask,
    ReplacedFeatures,
    pretraining,
)
from benchmark.training.table import Table
from benchmark.training.trainer import Data, batches, fit, make_optimizer, train_batch

CPU, META = torch.device("cpu"), torch.device("meta")
HYPER = {"learning_rate": 0.01, "weight_decay": 0.0}
TASKS = ("masked", "replaced")
every_task = pytest.mark.parametrize("task", TASKS)


class TwoEncoders(Method):
    """A plain method with a second encoder below its own."""

    name = "Two encoders"
    citation = ""

    def __init__(self, parts: Any) -> None:
        super().__init__(parts)
        self.second = nn.ModuleList([parts.backbone()])
        self.towers = parts.towers(1, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        (logit,) = self.towers(self.backbone(features) + self.second[0](features))
        return Prediction(cvr=Probability.from_logit(logit))

    def loss(self, batch: Batch) -> Tensor:
        return click_cvr_loss(self(batch.features), batch)


def method_on(made: Schema, name: str = "embeddings", **options: Any) -> TwoEncoders:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"embedding_size": 4, "hidden": (), "tower": (6,), "dropout": 0.0}
    return TwoEncoders(blueprint(made, BackboneParams(name=name, options=options, **sizes)))


def table_of(batch: Batch) -> Table:
    features, labels = batch.features, batch.conversion.unsqueeze(1)
    return Table(features.sparse, features.dense, labels, ("conversion",), features.sequences)


def pretrained(
    method: Method, made: Schema, rows: Table, passes: int, **params: Any
) -> list[float]:
    """Train before the method as the trainer does; return the mean loss of each pass."""
    torch.manual_seed(1)
    ((tasks, phase),) = pretraining(method, made, rows, Pretraining(epochs=passes, **params))
    optimizer, losses = make_optimizer(tasks, HYPER, large=10**9), []
    for epoch in range(phase.epochs):
        seen = []
        for batch in batches(rows, 256, 0, epoch):
            seen += [update.loss.item() for update in phase.updates(batch)]
            train_batch(optimizer, phase.updates, batch)
        losses.append(sum(seen) / len(seen))
    return losses


def protocol_with(protocol: Protocol, **params: Any) -> Protocol:
    return protocol.model_copy(update={"pretraining": Pretraining(**params)})


# --- in the trainer


def numbers(processed: Path, protocol: Protocol, name: str) -> tuple[Any, ...]:
    data = Data.read(processed, CPU)
    torch.manual_seed(0)
    method = registry.load("methods", name, Method)(blueprint(data.schema, protocol.backbone))
    fitted = fit(method, data, protocol, HYPER, seed=0)
    return fitted, [value.tolist() for value in method.state_dict().values()]


def test_off_is_as_if_it_were_not_there(processed: Path, protocol: Protocol) -> None:
    name = registry.names("methods")[0]
    default = numbers(processed, protocol, name)
    assert protocol.pretraining.task == "none"
    off = protocol_with(protocol, task="none", epochs=9, rate=0.9)
    assert repr(numbers(processed, off, name)) == repr(default)
    data = Data.read(processed, CPU)
    method = method_on(data.schema)
    state = torch.get_rng_state()
    assert pretraining(method, data.schema, data.train, off.pretraining) == ()
    assert torch.get_rng_state().equal(state)


@every_task
def test_work_is_counted_and_the_run_repeats(
    processed: Path, protocol: Protocol, task: str
) -> None:
    data = Data.read(processed, CPU)
    short = protocol_with(protocol, task=task, epochs=3).model_copy(update={"max_epochs": 1})

    def trained() -> Any:
        method = method_on(data.schema)
        return fit(method, data, short, HYPER, seed=0), method.backbone.table.weight

    (fitted, weights), (again, same) = trained(), trained()
    rows = len(data.train)
    assert fitted.sample_gradients == 3 * 2 * rows + rows  # of the two encoders, then of all
    assert fitted == again
    assert weights.equal(same)


@every_task
def test_it_comes_before_the_preparation_and_changes_the_result(
    processed: Path, protocol: Protocol, task: str
) -> None:
    name = registry.names("methods")[0]
    changed = numbers(processed, protocol_with(protocol, task=task), name)
    assert repr(changed) != repr(numbers(processed, protocol, name))


@every_task
def test_labels_are_never_read(processed: Path, task: str) -> None:
    data = Data.read(processed, CPU)
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    weights = []
    for labels in (
        data.train.labels,
        data.train.labels[order],
        torch.full_like(data.train.labels, torch.nan),
    ):
        method = method_on(data.schema)
        pretrained(method, data.schema, replace(data.train, labels=labels), 1, task=task)
        weights.append(method.backbone.state_dict())
    for other in weights[1:]:
        assert all(value.equal(other[key]) for key, value in weights[0].items())


@every_task
def test_every_encoder_moves_and_nothing_else(task: str) -> None:
    made, rows = schema(), table_of(make_batch(schema(), 512))
    method = method_on(made)
    before = copy.deepcopy(method.state_dict())
    pretrained(method, made, rows, 1, task=task)
    for key, value in method.state_dict().items():
        assert torch.equal(value, before[key]) == key.startswith("towers"), key


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "embeddings": ("embeddings", {}),
    "DHEN": ("DHEN", {"layers": 1}),
    "SFG of DHEN": ("SFG", {"base": "DHEN", "base_options": {"layers": 1}}),
    "ETA": ("ETA", {}),
    "MIRRN": ("MIRRN", {}),
    "DeepFM": ("DeepFM", {}),
}


@every_task
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_falls_on_every_encoder(kind: str, task: str) -> None:
    name, options = KINDS[kind]
    made = wide(5, size=6)
    batch = related(make_batch(made, 1024))
    if name != "DeepFM":
        made = with_history(made)
        batch = replace(batch, features=remembering(batch.features, made))
    method = method_on(made, name, **options)
    assert len(list(tasks_of(method, made, table_of(batch), task))) == 2
    passes = {"masked": 6, "replaced": 3}[task]
    losses = pretrained(method, made, table_of(batch), passes, task=task)
    assert losses[-1] < 0.9 * losses[0]


def related(batch: Batch) -> Batch:
    """Let all fields follow from the first, so that there is something to learn."""
    ids = batch.features.sparse[:, :1].expand_as(batch.features.sparse).clone()
    return replace(batch, features=replace(batch.features, sparse=ids))


def tasks_of(method: Method, made: Schema, rows: Table, task: Any) -> Any:
    ((tasks, _),) = pretraining(method, made, rows, Pretraining(task=task))
    return tasks.tasks


def test_a_method_without_an_encoder_has_nothing_to_learn() -> None:
    made, rows = schema(), table_of(make_batch(schema(), 8))
    method = method_on(made)
    del method.backbone, method.second
    assert pretraining(method, made, rows, Pretraining(task="masked")) == ()


def test_a_log_without_categorical_fields_is_refused() -> None:
    made = schema()
    bare = made.model_copy(update={"fields": tuple(made.numeric)})
    with pytest.raises(ValueError, match="needs categorical fields, which tiny lacks"):
        pretraining(
            method_on(made), bare, table_of(make_batch(made, 8)), Pretraining(task="replaced")
        )


@pytest.mark.parametrize("params", [{"task": "guessed"}, {"rate": 0}, {"rate": 1}, {"epochs": 0}])
def test_bad_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Pretraining(**params)


# --- tables in host memory


@every_task
def test_a_table_in_host_memory_moves_no_encoder(task: str) -> None:
    made, rows = schema(), in_host_memory(table_of(make_batch(schema(), 8)), META)
    method = method_on(made).to(META)
    ((tasks, _),) = pretraining(method, made, rows, Pretraining(task=task))
    assert all(part.is_meta for part in (*tasks.parameters(), *method.parameters()))


class Elsewhere:
    """Ids on another device, where alone they can be looked up."""

    device = META

    def __len__(self) -> int:
        return 400

    def __getitem__(self, place: tuple[Tensor, Tensor]) -> Tensor:
        assert all(index.is_meta for index in place)
        return torch.ones(place[0].shape, dtype=torch.int32)


def test_values_are_drawn_where_the_ids_are() -> None:
    task_module, _ = taught(ReplacedFeatures, 0.5)
    task_module.rows = replace(task_module.rows, sparse=Elsewhere())
    assert task_module.drawn_values(torch.tensor([[0, 1]])).tolist() == [[1, 1]]


# --- the tasks


class Spy(Backbone):
    """Keeps what it is given."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.zeros(width))
        self.seen: Tensor = torch.empty(0)

    def forward(self, features: Features) -> Tensor:
        self.seen = features.sparse
        return self.weight.expand(len(features.sparse), -1)


def wide(fields: int, size: int = 50) -> Schema:
    made = [Field(name=f"f{i}", kind="categorical", size=size) for i in range(fields)]
    return schema().model_copy(update={"fields": (*made, *schema().numeric)})


def taught(
    kind: type[PretrainingTask], rate: float, rows: int = 400, fields: int = 10
) -> tuple[Any, Any]:
    made = wide(fields)
    batch = make_batch(made, rows)
    features = replace(batch.features, sparse=batch.features.sparse.clamp_min(1))
    batch = replace(batch, features=features)
    task_module = kind(Spy(), made, table_of(batch), rate)
    return task_module, features


@pytest.mark.parametrize(("rate", "fields"), [(0.3, 3), (0.01, 1), (0.99, 9)])
def test_a_share_of_each_rows_fields_is_masked_and_no_field_twice(rate: float, fields: int) -> None:
    torch.manual_seed(0)
    task_module, features = taught(MaskedFeatures, rate)
    task_module(features)
    masked = task_module.encoder.seen == 0
    assert (masked.sum(1) == fields).all()
    assert task_module.encoder.seen[~masked].equal(features.sparse[~masked])
    share = masked.float().mean(0)
    torch.testing.assert_close(share, torch.full_like(share, fields / 10), rtol=0, atol=0.1)


def test_replacements_come_from_random_rows_of_the_same_field() -> None:
    torch.manual_seed(0)
    task_module, features = taught(ReplacedFeatures, 0.5)
    features.sparse[:, 0] = 7
    features.sparse[:, 1] = torch.arange(400) % 2 + 3
    task_module(features)
    replaced = task_module.encoder.seen != features.sparse
    assert (replaced.sum(1) <= 5).all()
    assert not replaced[:, 0].any()
    assert set(task_module.encoder.seen[:, 1].tolist()) == {3, 4}
    assert 0.2 < replaced[:, 1].float().mean() < 0.3  # half of the rows drew their own value
    assert 0.4 < replaced[:, 2:].float().mean() < 0.55


def test_a_field_that_drew_its_own_value_was_not_replaced() -> None:
    torch.manual_seed(0)
    task_module, features = taught(ReplacedFeatures, 0.5)
    features.sparse[:] = 7  # every draw is the value itself
    last = task_module.head[-1]
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, -20.0)
    assert task_module(features).item() < 1e-6
    nn.init.constant_(last.bias, 20.0)
    assert task_module(features).item() == pytest.approx(20)


def test_scores_start_as_the_odds_of_one_true_value_among_the_drawn() -> None:
    task_module, features = taught(MaskedFeatures, 0.3)
    nn.init.zeros_(task_module.values.weight)
    expected = math.log(26) - 25 * math.log(25 / 26)
    assert task_module(features).item() == pytest.approx(expected, rel=1e-5)


def test_true_and_drawn_values_are_told_apart_by_vectors_of_their_own_field() -> None:
    torch.manual_seed(0)
    task_module, features = taught(MaskedFeatures, 0.3)
    scores = torch.randn(500, dtype=torch.float64)  # of each value, ten fields of 50
    nn.init.zeros_(task_module.project.weight)
    nn.init.ones_(task_module.project.bias)
    task_module.values.weight.data = (scores.float() / 32).unsqueeze(1).expand(-1, 32)
    torch.manual_seed(1)
    loss = task_module(features)
    torch.manual_seed(1)
    fields = task_module.corrupted_fields(features.sparse)
    drawn = task_module.drawn_values(fields.unsqueeze(2).expand(-1, -1, 25))
    true = scores[50 * fields + features.sparse.gather(1, fields)] - math.log(25)
    false = scores[50 * fields.unsqueeze(2) + drawn] - math.log(25)
    expected = (-true).exp().log1p() + false.exp().log1p().sum(2)
    torch.testing.assert_close(loss.double(), expected.mean(), rtol=1e-5, atol=0)


class OneHot(Backbone):
    """The first field as it is seen."""

    width = 4

    def forward(self, features: Features) -> Tensor:
        return nn.functional.one_hot(features.sparse[:, 0].long(), 4).float()


def test_scores_learn_how_much_likelier_a_value_is_given_the_rest() -> None:
    torch.manual_seed(0)
    chances = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    first = torch.randint(2, (4000,)) + 1
    second = torch.multinomial(chances[first - 1], 1).squeeze(1) + 1
    made, features = (
        wide(2, size=4),
        Features(torch.stack([first, second], 1).int(), torch.empty(0)),
    )
    rows = Table(features.sparse, features.sparse.float(), first, (), None)
    task_module = MaskedFeatures(OneHot(), made, rows, rate=0.5)
    optimizer = torch.optim.Adam(task_module.parameters(), lr=0.02)
    for _ in range(250):
        optimizer.zero_grad()
        take = torch.randint(4000, (512,))
        task_module(replace(features, sparse=features.sparse[take])).backward()
        optimizer.step()
    queries = task_module.project(torch.eye(4))[1:3, 32:]
    scores = queries @ task_module.values.weight[4 + 1 : 4 + 4].T
    marginal = torch.stack([(second == v).float().mean() for v in (1, 2, 3)])
    torch.testing.assert_close(scores.exp(), chances / marginal, rtol=0.25, atol=0.1)


def test_encoders_are_found_inside_of_other_modules_but_not_of_one_another() -> None:
    method = method_on(schema(), "SFG")
    found = [
        task_module.encoder
        for task_module in tasks_of(method, schema(), table_of(make_batch(schema(), 8)), "masked")
    ]
    assert found == [method.backbone, method.second[0]]
    assert isinstance(method.backbone.base, Embeddings)
    method.shared = method.backbone
    assert len(tasks_of(method, schema(), table_of(make_batch(schema(), 8)), "masked")) == 2
