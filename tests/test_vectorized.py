"""Models trained as one: what each would have become alone, up to rounding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import runs
from torch import Tensor

from benchmark import registry
from benchmark.config import Protocol
from benchmark.execution import fitting, tasks
from benchmark.training.backbones import blueprint
from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.losses import ctcvr_loss, ctr_loss
from benchmark.training.method import Method
from benchmark.training.search import defaults, sample
from benchmark.training.table import Table
from benchmark.training.trainer import Data, DivergedError, EarlyStopping, Fit, fit, order
from benchmark.training.vectorized import Step, allowed, fit_vectorized

COUNT = 2
NAMES = registry.names("methods")


@pytest.fixture
def asked(protocol: Protocol) -> Protocol:
    return protocol.model_copy(update={"vectorized_trials": True, "batch_size": 128})


@pytest.fixture(scope="module")
def data(processed: Path) -> Data:
    return Data.read(processed, torch.device("cpu"))


def points(kind: type[Method], protocol: Protocol, varied: str) -> tuple[list[Any], list[int]]:
    """Return hyper-parameters and seeds: those of a final run, or of a batch of trials."""
    if varied == "seeds":
        return [defaults(kind, protocol)] * COUNT, list(range(COUNT))
    return sample(kind, protocol, COUNT, seed=7), [5] * COUNT


def models(
    kind: type[Method], data: Data, protocol: Protocol, hyper: list[Any], seeds: list[int]
) -> list[Method]:
    made = []
    for point, seed in zip(hyper, seeds, strict=True):
        torch.manual_seed(seed)
        own = {name: point[name] for name in kind.search_space}
        made.append(kind(blueprint(data.schema, protocol.backbone), **own))
    return made


def head(table: Table) -> Table:
    """Return the first rows, two batches of them."""
    sparse, dense, labels = (part[:256] for part in (table.sparse, table.dense, table.labels))
    return replace(table, sparse=sparse, dense=dense, labels=labels, clicks=None)


@pytest.mark.parametrize("varied", ["seeds", "trials"])
def test_gradients_are_those_of_each_alone(varied: str, data: Data, asked: Protocol) -> None:
    shared = set()
    once, few = asked.model_copy(update={"max_epochs": 1}), replace(data, train=head(data.train))
    for name in NAMES:
        kind = registry.load("methods", name, Method)
        if kind.missing(data.schema) or not allowed(kind, asked, data.schema):
            continue
        hyper, seeds = points(kind, asked, varied)
        if fit_vectorized(models(kind, data, asked, hyper, seeds), few, once, hyper, seeds) is None:
            continue
        shared.add(name)
        rows = [order(data.train, asked.batch_size, seed, 0)[0] for seed in seeds]
        stacked = models(kind, data, asked, hyper, seeds)
        found = Step(stacked, data.train, frozenset()).gradients(rows)
        for i, method in enumerate(models(kind, data, asked, hyper, seeds)):
            parameters = dict(method.train().named_parameters())
            loss = method.loss(data.train.take(rows[i]))
            wanted = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)
            for parameter, gradient in zip(parameters, wanted, strict=True):
                scale = gradient.abs().max().item()
                close(found[f"method.{parameter}"][i], gradient, 1e-4 * scale + 1e-8)
    assert len(shared) > 20


def close(found: Tensor, wanted: Tensor, atol: float) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=atol)


class Plain(Method):
    """Two towers, a hyper-parameter, and a parameter without use that decay must not move."""

    name = "Plain"
    citation = ""

    def __init__(self, data: Data, protocol: Protocol, seed: int, weight: Any = 1.0) -> None:
        torch.manual_seed(seed)
        made = blueprint(data.schema, protocol.backbone)
        super().__init__(made)
        self.towers = made.towers(2, self.backbone.width)
        self.weight = weight
        self.idle = torch.nn.Parameter(torch.ones(3))

    def forward(self, features: Features) -> Prediction:
        ctr, cvr = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return ctr_loss(prediction, batch) + self.weight * ctcvr_loss(prediction, batch)


RATES = [{"learning_rate": rate, "weight_decay": 1e-3} for rate in (0.001, 0.003, 0.03)]


def test_each_is_trained_and_stopped_as_it_is_alone(data: Data, asked: Protocol) -> None:
    long = asked.model_copy(update={"max_epochs": 12, "patience": 1})
    ours, theirs = (
        [Plain(data, long, seed, weight) for seed, weight in enumerate((0.5, 1.0, 2.0))]
        for _ in range(2)
    )
    outcomes = fit_vectorized(ours, data, long, RATES, [3, 4, 5])
    assert outcomes is not None
    for method, outcome, other, rates, seed in zip(
        ours, outcomes, theirs, RATES, (3, 4, 5), strict=True
    ):
        alone = fit(other, data, long, rates, seed)
        assert isinstance(outcome, Fit)
        assert (outcome.best_epoch, outcome.sample_gradients) == (
            alone.best_epoch,
            alone.sample_gradients,
        )
        assert outcome.history == pytest.approx(alone.history, abs=1e-4)
        for parameter, wanted in zip(method.parameters(), other.parameters(), strict=True):
            close(parameter, wanted, 2e-3)
        assert torch.equal(method.idle, torch.ones(3))
    assert len({len(outcome.history) for outcome in outcomes if isinstance(outcome, Fit)}) > 1


def test_one_that_diverges_leaves_the_others_alone(data: Data, asked: Protocol) -> None:
    rates = [RATES[0], RATES[0] | {"learning_rate": float("inf")}, RATES[0]]
    outcomes = fit_vectorized([Plain(data, asked, 1) for _ in rates], data, asked, rates, [1] * 3)
    assert outcomes is not None
    assert [type(outcome) for outcome in outcomes] == [Fit, DivergedError, Fit]
    assert outcomes[0] == outcomes[2]


def test_of_views_only_their_own_values_are_kept(data: Data, asked: Protocol) -> None:
    methods = [Plain(data, asked, seed) for seed in range(COUNT)]
    Step(methods, data.train, frozenset())
    stopping = EarlyStopping(methods[1], data, asked)
    stopping.continues(0)
    for kept, value in zip(
        stopping.weights.values(), methods[1].state_dict().values(), strict=True
    ):
        assert torch.equal(kept, value)
        assert kept.untyped_storage().nbytes() == value.nbytes


class Asking(Plain):
    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * (2 if batch.clicked.sum() > 1 else 1)


class Drawing(Plain):
    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * torch.rand(())


@pytest.mark.parametrize(
    ("kind", "weights", "changed"),
    [
        (Asking, (1.0, 1.0), {}),
        (Drawing, (1.0, 1.0), {}),
        (Plain, (1, 2), {}),
        (Plain, (1.0, 1.0), {"row_sparse_from": 10}),
    ],
    ids=["asks for a value", "draws numbers", "differ in an integer", "has a large table"],
)
def test_what_cannot_be_one_is_left_untouched(
    kind: type[Plain],
    weights: tuple[Any, ...],
    changed: dict[str, Any],
    data: Data,
    asked: Protocol,
) -> None:
    protocol = asked.model_copy(update=changed)
    methods = [kind(data, protocol, 1, weight) for weight in weights]
    assert fit_vectorized(methods, data, protocol, RATES[:2], [1, 1]) is None
    fresh = [kind(data, protocol, 1, weight) for weight in weights]
    for method, other in zip(methods, fresh, strict=True):
        for parameter, wanted in zip(method.parameters(), other.parameters(), strict=True):
            assert torch.equal(parameter, wanted)


def test_only_plain_steps_are_shared_and_only_if_asked_for(
    data: Data, protocol: Protocol, asked: Protocol
) -> None:
    assert allowed(Plain, asked, data.schema)
    assert not allowed(Plain, protocol, data.schema)

    class Alternating(Plain):
        updates = Plain.start_epoch  # type: ignore[assignment]

    assert not allowed(Alternating, asked, data.schema)


def test_what_is_known_to_be_trained_alone_is_left_to_several_workers(
    data: Data, asked: Protocol
) -> None:
    """And only that: whatever could be one still is."""
    dropout = {"backbone": asked.backbone.model_copy(update={"dropout": 0.1})}
    for change in (dropout, {"row_sparse_from": 26}):
        own = asked.model_copy(update=change)
        assert not allowed(Plain, own, data.schema)
        for name in NAMES:
            kind = registry.load("methods", name, Method)
            if allowed(kind, asked, data.schema) and not kind.missing(data.schema):
                hyper, seeds = points(kind, own, "seeds")
                made = models(kind, data, own, hyper, seeds)
                assert fit_vectorized(made, data, own, hyper, seeds) is None


def test_what_a_killed_worker_left_changes_no_number(
    processed: Path, asked: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grouped = list[int]()

    def train(jobs: Any) -> Any:
        grouped.append(len(jobs))
        return fitting.train(jobs)

    monkeypatch.setattr(tasks, "train", train)
    folder = tmp_path / "task"
    runs.run(folder, processed, "esmm", asked)
    whole = runs.records(folder)
    assert sorted(grouped) == [1, 2, 2, 2, 2], "five trials in batches of two, twice two replicates"
    next(folder.glob("tuned/*.json")).unlink()
    runs.run(folder, processed, "esmm", asked)
    assert grouped[5:] == [2]
    assert runs.records(folder) == whole
