"""Methods that learn from whole tables instead of by gradient steps, and the trees they grow."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from helpers.plugins import methods_that_load
from helpers.worlds import blueprint, make_batch, schema
from torch import Tensor

from benchmark.config import Protocol
from benchmark.schema import Field
from benchmark.training.batch import Batch, Features, Probability
from benchmark.training.method import Method
from benchmark.training.modules.trees import BINS, BoostedTrees
from benchmark.training.modules.weighted_trees import CrossFitted, RiskTrees, _derivatives
from benchmark.training.search import defaults, search_space
from benchmark.training.trainer import Data, Fit, fit, predict

METHODS = methods_that_load()
NAMES = [name for name, method in METHODS.items() if method.fit is not None]
EVERYTHING = {"min_child_samples": 1, "min_sum_hessian_in_leaf": 0, "feature_pre_filter": False}

every_table_method = pytest.mark.parametrize("name", NAMES)


def test_there_are_such_methods() -> None:
    assert NAMES


def cvr(method: Method, features: Features) -> Tensor:
    return method(features).cvr.value()


def learned(name: str, train: Batch, seed: int = 0) -> Tensor:
    """Return the CVR on other rows, after two epochs in which something is drawn at random."""
    method = METHODS[name](blueprint(schema()), bagging_fraction=0.4)
    assert method.fit is not None
    for _ in range(2):
        method.fit(train, seed)
    return cvr(method, make_batch(schema(), 64, seed=9).features)


# --- what it learns from


@every_table_method
def test_the_seed_decides_all_that_is_random(name: str) -> None:
    train = make_batch(schema(), 512)
    assert learned(name, train).equal(learned(name, train))
    assert not learned(name, train).equal(learned(name, train, seed=1))


@every_table_method
def test_conversions_of_clicks_teach_and_those_of_other_rows_do_not(name: str) -> None:
    train = make_batch(schema(), 512)
    flipped = replace(train, conversion=(train.conversion - (1 - train.clicked)).abs())
    assert learned(name, flipped).equal(learned(name, train))
    relabelled = replace(train, conversion=train.clicked - train.conversion)
    assert not learned(name, relabelled).equal(learned(name, train))


@every_table_method
def test_unclicked_rows_teach_what_needs_impressions_alone(name: str) -> None:
    train = make_batch(schema(), 512)
    moved = train.features.dense + (1 - train.clicked).unsqueeze(1)
    elsewhere = replace(train, features=replace(train.features, dense=moved))
    ignored = learned(name, elsewhere).equal(learned(name, train))
    assert ignored == ("impression" not in METHODS[name].requires)


@every_table_method
@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("click", [0.0, 1.0])
def test_tiny_tables_give_finite_predictions(name: str, rows: int, click: float) -> None:
    predicted = learned(name, make_batch(schema(), rows, click=click))
    assert predicted.isfinite().all()
    assert click or predicted.eq(0.5).all()


@every_table_method
def test_an_interaction_without_main_effects_is_learned(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, (4000, 2), generator=generator, dtype=torch.int32)
    truth = 0.1 + 0.8 * ((ids[:, 0] < 2) ^ (ids[:, 1] < 2)).float()
    features = Features(ids, torch.zeros(4000, 1))
    train = Batch(features, click=None, conversion=truth.bernoulli(generator=generator))
    method = METHODS[name](blueprint(schema()))
    assert method.fit is not None
    for _ in range(3):
        method.fit(train, 0)
    assert (cvr(method, features) - truth).abs().max() < 0.1


@every_table_method
def test_an_epoch_is_as_many_trees_as_its_docstring_says(name: str) -> None:
    method: Any = METHODS[name](blueprint(schema()))
    said = re.search(r"An epoch is (\d+) trees", " ".join(str(method.__doc__).split()))
    assert said is not None
    for epochs in (1, 2):
        method.fit(make_batch(schema(), 512), 0)
        assert method.trees.booster.num_trees() == epochs * int(said[1])


@every_table_method
def test_prediction_of_a_row_ignores_its_batch(name: str) -> None:
    method = METHODS[name](blueprint(schema()))
    assert method.fit is not None
    method.fit(make_batch(schema(), 512), 0)
    features = make_batch(schema(), 32).features
    alone = [cvr(method, Features(features.sparse[[i]], features.dense[[i]])) for i in range(32)]
    assert torch.cat(alone).equal(cvr(method, features))
    assert not torch.cat(alone).eq(alone[0]).all()


# --- in the trainer


def trained(name: str, data: Data, protocol: Protocol, seed: int = 0) -> tuple[Method, Fit]:
    method = METHODS[name](blueprint(data.schema))
    return method, fit(method, data, protocol, {}, seed)


@every_table_method
def test_the_best_epoch_is_restored_and_patience_ends_training(
    name: str, processed: Path, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, values = Data.read(processed, torch.device("cpu")), iter([0.5, 0.7, 0.6, 0.6, 0.9])
    patient = protocol.model_copy(update={"max_epochs": 9, "patience": 2})
    monkeypatch.setattr("benchmark.training.trainer.evaluate_one", lambda *_: next(values))
    best, result = trained(name, data, patient)
    assert (result.best_epoch, len(result.history)) == (1, 4)
    values = iter([0.5, 0.7])
    short, half = trained(name, data, patient.model_copy(update={"max_epochs": 2}))
    assert np.array_equal(predict(best, data.test.table).cvr, predict(short, data.test.table).cvr)
    each, before = divmod(result.sample_gradients - half.sample_gradients, 2)
    assert before == 0
    assert half.sample_gradients >= 2 * each  # what precedes the first epoch counts
    assert any(
        each % int(rows) == 0 for rows in (len(data.train), data.train.whole().clicked.sum())
    )


@every_table_method
def test_validation_labels_choose_the_epoch_and_test_rows_nothing(
    name: str, processed: Path, protocol: Protocol
) -> None:
    data = Data.read(processed, torch.device("cpu"))
    longer = protocol.model_copy(update={"max_epochs": 3, "patience": 3})
    _, usual = trained(name, data, longer)
    other_test = replace(data.valid, labels=replace(data.test.labels, conversion=np.array([])))
    method, same = trained(name, replace(data, test=other_test), longer)
    assert same == usual
    opposite = replace(data.valid.labels, conversion=1 - data.valid.labels.conversion)
    other = replace(data, valid=replace(data.valid, labels=opposite))
    _, reversed_ = trained(name, other, longer)
    assert reversed_.history == pytest.approx([1 - value for value in usual.history])
    assert max(usual.history) > 0.6
    assert sum(parameter.numel() for parameter in method.parameters()) == 0


@every_table_method
def test_the_state_dict_holds_all_that_was_learned(name: str) -> None:
    method, fresh = (METHODS[name](blueprint(schema())) for _ in range(2))
    assert method.fit is not None
    method.fit(make_batch(schema(), 512), 0)
    features = make_batch(schema(), 64).features
    assert not cvr(fresh, features).equal(cvr(method, features))
    fresh.load_state_dict(method.state_dict())
    assert cvr(fresh, features).equal(cvr(method, features))


@every_table_method
def test_shared_hyperparameters_are_tuned_in_the_method_s_own_ranges(
    name: str, protocol: Protocol
) -> None:
    space, first = search_space(METHODS[name], protocol), defaults(METHODS[name], protocol)
    for key, distribution in METHODS[name].search_space.items():
        assert space[key] is distribution
        assert distribution._contains(distribution.to_internal_repr(first[key]))


# --- the trees


@every_table_method
@pytest.mark.parametrize("penalty", [0.0, 3.0])
def test_every_tree_is_a_newton_step_in_each_leaf(name: str, penalty: float) -> None:
    """Two leaves of 20 rows, 4 and 12 conversions: f += η Σ(r - p) / (Σ p(1 - p) + λ)."""
    side = torch.tensor([-1.0, 1.0]).repeat_interleave(20)
    conversion = torch.zeros(40)
    conversion[:4], conversion[20:32] = 1, 1
    features = Features(torch.zeros(40, 2, dtype=torch.int32), side.unsqueeze(1))
    options = {"learning_rate": 0.1, "weight_decay": penalty, "min_child_samples": 5}
    method = METHODS[name](blueprint(schema()), **options)
    assert method.fit is not None
    train = Batch(features, click=None, conversion=conversion)
    method.fit(train, 0)
    trees = 2 * (method.fit(train, 0) // 40)  # the first epoch may grow others too
    assert trees > 2
    logit = torch.full((2,), 0.4).logit()
    for _ in range(trees):
        p = logit.sigmoid()
        logit += 0.1 * (torch.tensor([4, 12]) - 20 * p) / (20 * p * (1 - p) + penalty)
    expected = logit.sigmoid().repeat_interleave(20)
    torch.testing.assert_close(cvr(method, features), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("size", "categorical"), [(BINS, True), (BINS + 1, False)])
def test_ids_are_categories_unless_there_are_many(size: int, categorical: bool) -> None:  # noqa: FBT001
    """One split of ids 1 to 3 isolates the middle one only if they are categories."""
    field = Field(name="item", kind="categorical", size=size)
    ids = torch.tensor([1, 2, 3], dtype=torch.int32).repeat_interleave(30).unsqueeze(1)
    features = Features(ids, torch.zeros(90, 0))
    loose = {"min_data_per_group": 1, "cat_smooth": 0, "max_cat_to_onehot": 1}
    trees = BoostedTrees(
        schema().model_copy(update={"fields": (field,)}), num_leaves=2, **EVERYTHING, **loose
    )
    trees.grow(1, features, (ids[:, 0] == 2).float(), seed=0)
    first, middle, last = trees(features)[::30]
    assert len({first.item(), middle.item(), last.item()}) == 2
    assert bool(first == last) == categorical


def test_every_tree_draws_rows_of_its_own() -> None:
    """Both trees split by the one field, and count other rows in its halves."""
    field = Field(name="item", kind="categorical", size=3)
    ids = torch.tensor([1, 2], dtype=torch.int32).repeat_interleave(200).unsqueeze(1)
    trees = BoostedTrees(
        schema().model_copy(update={"fields": (field,)}), num_leaves=2, bagging_fraction=0.5,
        learning_rate=0.1, **EVERYTHING,
    )  # fmt: skip
    trees.grow(2, Features(ids, torch.zeros(400, 0)), (ids[:, 0] == 2).float(), seed=0)
    assert trees.booster is not None
    first, second = (
        {tree["tree_structure"][side]["leaf_count"] for side in ("left_child", "right_child")}
        for tree in trees.booster.dump_model()["tree_info"]
    )
    assert first != second


def test_without_rows_nothing_grows() -> None:
    trees = BoostedTrees(schema())
    nothing = make_batch(schema(), 0).features
    assert trees.grow(25, nothing, torch.zeros(0), seed=0) == 0
    assert trees(make_batch(schema(), 3).features).equal(torch.zeros(3))


# --- trees for risks


def test_derivatives_are_those_of_the_weighted_cross_entropy() -> None:
    score, label = torch.randn(
        2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    score, weights, start = score.requires_grad_(), label.square(), torch.tensor(0.3).double()
    risk = (weights * Probability.from_logit(score + start).cross_entropy(3 * label)).sum()
    (slope,) = torch.autograd.grad(risk, score, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), score)
    numbers = (x.detach().numpy() for x in (3 * label, weights, start))
    found = _derivatives(*numbers)(score.detach().numpy(), cast(Any, None))
    for mine, expected in zip(found, (slope, curvature), strict=True):
        np.testing.assert_allclose(mine, expected.detach().numpy(), rtol=1e-9)


def test_a_tree_for_a_risk_is_a_newton_step_by_weights_and_labels_of_any_size() -> None:
    """Two leaves: f += η Σ w(t - p) / Σ w p(1 - p), from the weighted mean of the labels."""
    generator = torch.Generator().manual_seed(0)
    label, weights = 3 * torch.rand(2, 40, dtype=torch.float64, generator=generator) - 1.2
    weights = weights.exp()
    features = Features(torch.zeros(40, 2, dtype=torch.int32), torch.ones(40, 1))
    features.dense[:20] = -1
    trees = RiskTrees(schema(), learning_rate=0.1, **EVERYTHING, num_leaves=2)
    assert trees.descend(1, features, label, weights, seed=0) == 40
    mean = (weights * label).sum() / weights.sum()
    assert label.min() < 0 < mean < 1 < label.max()
    slope = (weights * (label - mean)).view(2, 20).sum(1)
    curvature = (weights * mean * (1 - mean)).view(2, 20).sum(1)
    expected = mean.logit() + 0.1 * slope / curvature
    found = trees(features)[::20].double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_no_row_is_judged_by_trees_that_have_seen_its_label() -> None:
    batch, ones = make_batch(schema(), 512), torch.ones(512)
    flipped = batch.clicked.clone()
    flipped[::2] = 1 - flipped[::2]
    first, second = (
        CrossFitted(schema(), 5).fit(batch.features, label, ones, 0)[0]
        for label in (batch.clicked, flipped)
    )
    assert first[::2].equal(second[::2])
    assert not first[1::2].equal(second[1::2])


def test_across_folds_trees_grow_once() -> None:
    batch, ones, model = make_batch(schema(), 512), torch.ones(512), CrossFitted(schema(), 5)
    first, work = model.fit(batch.features, batch.clicked, ones, 0)
    again, nothing = model.fit(batch.features, batch.clicked, ones, 0)
    assert (work, nothing) == (5 * 512, 0)
    assert again.equal(first)
