"""The contract of :class:`Method`, checked on every file of ``methods/``: none has its own test."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import pytest
import torch
from helpers.contract import every, is_fitted_by_steps, kind, line_of, name_of, reject, require
from helpers.worlds import SPACES, blueprint, clicks, doubled, make_batch, rows_of, schema, without
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from torch import Tensor, nn

from benchmark import registry
from benchmark.schema import Need
from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import ParallelLinear
from benchmark.training.method import Method, Update
from benchmark.training.trainer import train_batch

NAMES = registry.names("methods")
GRADIENT_METHODS = [name for name in NAMES if is_fitted_by_steps(name)]

every_method, every_gradient_method = every(NAMES), every(GRADIENT_METHODS)


def build(name: str, space: str = "funnel", seed: int = 0, **hyperparameters: Any) -> Method:
    torch.manual_seed(seed)
    return kind(name)(blueprint(schema(space)), **hyperparameters)


def probabilities(prediction: Prediction) -> dict[str, Probability]:
    return {key: p for key, p in vars(prediction).items() if isinstance(p, Probability)}


def outputs(prediction: Prediction) -> dict[str, Tensor]:
    """Return every tensor of a prediction."""
    found = {key: value for key, value in vars(prediction).items() if isinstance(value, Tensor)}
    for key, p in probabilities(prediction).items():
        found |= {f"{key}.log": p.log, f"{key}.log_not": p.log_not}
    return found


def all_updates(method: Method, batch: Batch) -> Iterator[Update]:
    """Yield the steps that one batch causes in every phase of training."""
    name = name_of(method)
    for updates in (*(phase.updates for phase in method.warm_up()), method.updates):
        method.start_epoch()
        for update in updates(batch):
            sentence = f"updates yields {type(update).__name__}; yield Update(loss, module)"
            require(isinstance(update, Update), name, sentence, "updates")
            assert_is_a_loss(update.loss, method)
            yield update


def assert_is_a_loss(loss: object, method: Method) -> None:
    """Assert that it is a scalar, with a gradient where a method descends any."""
    name = name_of(method)
    at = "updates" if line_of(name, "updates") else "loss"
    if not isinstance(loss, Tensor):
        reject(name, f"loss returns {type(loss).__name__}; return a tensor", at)
    sentence = f"loss has the shape {tuple(loss.shape)}; return a scalar, such as a mean"
    require(loss.shape == (), name, sentence, at)
    sentence = "loss depends on no parameter; compute it from the prediction"
    require(loss.requires_grad or method.fit is not None, name, sentence, at)


def predict(method: Method, features: Features) -> Prediction:
    """Return the prediction, after a look at its types and shapes."""
    prediction, name = method(features), name_of(method)
    sentence = f"forward returns {type(prediction).__name__}; return a Prediction"
    require(isinstance(prediction, Prediction), name, sentence, "forward")
    rows = len(features.sparse)
    for key, value in outputs(prediction).items():
        sentence = f"{key} has the shape {tuple(value.shape)} for {rows} rows; let it be ({rows},)"
        require(value.shape == (rows,), name, sentence, "forward")
    return prediction


def total_loss(method: Method, batch: Batch) -> Tensor:
    return torch.stack([update.loss for update in all_updates(method, batch)]).sum()


def gradients(update: Update) -> dict[nn.Parameter, Tensor]:
    """Return what a step descends, as the trainer does: parameters without gradient left out."""
    parameters = list(update.module.parameters())
    found = torch.autograd.grad(update.loss, parameters, allow_unused=True)
    return {p: g for p, g in zip(parameters, found, strict=True) if g is not None}


def assert_trains(name: str, method: Method, batch: Batch, case: str) -> None:
    """Assert that every update has a finite scalar loss, and finite gradients if it needs any."""
    if method.fit is not None:
        method.fit(batch, 0)
    for update in all_updates(method, batch):
        loss, at = update.loss, "updates" if line_of(name, "updates") else "loss"
        guard = "guard divisions and logarithms, as losses.over_clicks and Probability do"
        finite = bool(loss.isfinite())
        require(finite, name, f"loss is {loss.item()} on a batch with {case}; {guard}", at)
        if method.fit is None:
            whole = all(gradient.isfinite().all() for gradient in gradients(update).values())
            require(whole, name, f"a gradient is not finite on a batch with {case}; {guard}", at)


def trainings(method: Method, rate: float, seed: int = 0) -> list[Callable[[Batch], int]]:
    """Return, by phase, what trains on a batch as the trainer does."""
    if method.fit is not None:
        return [partial(method.fit, seed=seed)]
    optimizer = torch.optim.Adam(method.parameters(), lr=rate)
    phases = (*(phase.updates for phase in method.warm_up()), method.updates)
    return [partial(train_batch, optimizer, updates) for updates in phases]


# --- which logs it needs


@every_method
def test_each_absent_need_is_a_reason(name: str) -> None:
    method, known = kind(name), get_args(Need)
    valid = isinstance(method.requires, frozenset) and method.requires <= set(known)
    sentence = f"requires is {method.requires!r}; let it be a frozenset of {', '.join(known)}"
    require(valid, name, sentence, "requires")
    require("click" in method.requires, name, 'requires lacks "click"; add it', "requires")
    assert method.missing(schema()) is None
    for need in method.requires:
        assert need in (method.missing(without(need)) or "")


@every_method
@pytest.mark.parametrize("space", SPACES)
def test_every_log_is_refused_with_a_reason_or_trained_on(name: str, space: str) -> None:
    if kind(name).missing(schema(space)) is None:
        assert_trains(name, build(name, space), make_batch(schema(space), 32), f"{space} alone")


# --- what its functions take, and where its layers are


@every_method
def test_functions_take_what_the_trainer_gives(name: str) -> None:
    for function in ("build", "loss", "updates", "warm_up", "start_epoch"):
        taken, given = (
            list(inspect.signature(getattr(owner, function)).parameters)
            for owner in (kind(name), Method)
        )
        sentence = f"{function} takes {', '.join(taken)}; let it take {', '.join(given)}"
        require(len(taken) == len(given), name, sentence, function)


@every_method
def test_layers_are_seen_by_torch(name: str) -> None:
    for key, value in vars(build(name)).items():
        inside = value.values() if isinstance(value, dict) else value
        hidden = isinstance(value, list | tuple | dict) and not key.startswith("_")
        layers = hidden and any(isinstance(item, nn.Module | nn.Parameter) for item in inside)
        sentence = (
            f"self.{key} hides layers from the optimiser; make it an nn.ModuleList or similar"
        )
        require(not layers, name, sentence, "build")


# --- predictions


@every_method
def test_forward_sees_features_only(name: str) -> None:
    taken = list(inspect.signature(kind(name).forward).parameters)
    sentence = f"forward takes {', '.join(taken)}; let it take self and features alone"
    require(taken == ["self", "features"], name, sentence, "forward")
    method = build(name).eval()
    batch = make_batch(schema(), 16)
    before = outputs(predict(method, batch.features))
    total_loss(method, make_batch(schema(), 16, click=1.0))
    after = outputs(predict(method, batch.features))
    sentence = "forward uses labels that loss has left behind; keep none of a batch in self"
    require(all(v.equal(before[key]) for key, v in after.items()), name, sentence, "forward")


@every_method
def test_one_finite_probability_per_row(name: str) -> None:
    prediction = predict(build(name), make_batch(schema(), 32).features)
    for key, value in outputs(prediction).items():
        sentence = f"{key} is not finite; make it from a logit, by Probability.from_logit"
        require(value.isfinite().all(), name, sentence, "forward")
    for key, p in probabilities(prediction).items():
        total = (p.log.exp() + p.log_not.exp() - 1).abs().max() < 1e-5
        sentence = f"{key} is no probability; make it from a logit, by Probability.from_logit"
        valid = total and (p.log < 0).all() and (p.log_not < 0).all()
        require(valid, name, sentence, "forward")


@every_method
def test_products_never_exceed_the_ctr(name: str) -> None:
    prediction = predict(build(name), make_batch(schema(), 32).features)
    if prediction.ctr is not None:
        for step in probabilities(prediction).values():
            assert ((prediction.ctr & step).log <= prediction.ctr.log).all()


@every_method
def test_prediction_of_a_row_ignores_its_batch(name: str) -> None:
    method = build(name).eval()
    features = make_batch(schema(), 32).features
    together = outputs(predict(method, features))
    for row in (0, 7, 31):
        part = slice(row, row + 1)
        alone = outputs(predict(method, Features(features.sparse[part], features.dense[part])))
        for key, value in alone.items():
            torch.testing.assert_close(value, together[key][part], rtol=1e-5, atol=1e-6)


# --- training


EDGES = {
    "nothing clicked": make_batch(schema(), 32, click=0.0),
    "all clicked": make_batch(schema(), 32, click=1.0),
    "one unclicked row": make_batch(schema(), 1),
    "one clicked row": make_batch(schema(), 1, click=1.0),
    "mixed": make_batch(schema(), 32),
}


@every_method
@pytest.mark.parametrize("edge", EDGES)
def test_edge_batches_give_finite_losses_and_gradients(name: str, edge: str) -> None:
    assert_trains(name, build(name), EDGES[edge], edge)


@every_gradient_method
@pytest.mark.parametrize("edge", EDGES)
def test_huge_logits_give_finite_losses_and_gradients(name: str, edge: str) -> None:
    method, batch = build(name), EDGES[edge]
    for layer in last_layers(method):
        inflate(layer, method, batch)
    smallest = min(value.min() for value in outputs(predict(method, batch.features)).values())
    assert smallest < -20
    assert_trains(name, method, batch, f"{edge} and logits of 50")


@every_gradient_method
@pytest.mark.parametrize("edge", ["nothing clicked", "mixed"])
def test_rare_clicks_give_finite_losses_and_gradients(name: str, edge: str) -> None:
    """Inverse propensities are large then."""
    method, batch = build(name), EDGES[edge]
    for layer in last_layers(method):
        if isinstance(bias := getattr(layer, "bias", None), Tensor):
            bias.data -= 4
    assert_trains(name, method, batch, f"{edge} and probabilities of a hundredth")


# Targeting divides by 1/p - 1 of clicks, which is rounding alone where p is 1 in single precision.
@every([name for name in GRADIENT_METHODS if name != "tdr"])
@pytest.mark.parametrize("edge", EDGES)
def test_gradients_at_huge_logits_are_right(name: str, edge: str) -> None:
    """What saturates, or is cut, in single precision but not in double would differ."""
    method, batch = build(name).eval(), EDGES[edge]
    for layer in last_layers(method):
        inflate(layer, method, batch)
    exact = all_updates(copy.deepcopy(method).double(), doubled(batch))
    for single, double in zip(all_updates(method, batch), exact, strict=True):
        expected = list(gradients(double).values())
        finite = all(gradient.isfinite().all() for gradient in expected)
        sentence = "its gradient is not a number even in double precision; guard what divides"
        require(finite, name, f"logits of 50 and {edge}: {sentence}", "loss")
        largest = max(float(gradient.abs().max()) for gradient in expected)
        for one, other in zip(gradients(single).values(), expected, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-3 * largest + 1e-12)


def last_layers(method: Method) -> list[nn.Module]:
    """Return the layers that make logits: the linear ends of a sequence."""
    ends = [list(module)[-1:] for module in method.modules() if isinstance(module, nn.Sequential)]
    return [end for (end,) in filter(None, ends) if isinstance(end, nn.Linear | ParallelLinear)]


def inflate(layer: nn.Module, method: Method, batch: Batch) -> None:
    """Scale a layer so that its largest output in the steps of the given batch is 50."""
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    total_loss(method, batch)
    hook.remove()
    for parameter in layer.parameters() if seen else ():
        parameter.data *= 50 / seen[0].detach().abs().max()


@every_gradient_method
def test_every_parameter_learns_from_a_mixed_batch(name: str) -> None:
    method, learned = build(name), set()
    for update in all_updates(method, make_batch(schema(), 256)):
        for parameter, gradient in gradients(update).items():
            learned |= {(parameter, i) for i, part in enumerate(gradient) if part.any()}
    for owner, module in method.named_modules():
        for key, parameter in module.named_parameters(prefix=owner, recurse=False):
            maps = len(parameter) if isinstance(module, ParallelLinear) else 1
            taught = sum(p is parameter for p, _ in learned) >= maps
            sentence = f"no loss teaches {key}; use it in loss, or do not make it"
            require(taught, name, sentence, "build")


@every_method
def test_a_batch_and_its_double_teach_the_same(name: str) -> None:
    options: Any = {"as_released": False} if name == "ddpo" else {}  # by default as published
    method, batch = build(name, **options).eval(), make_batch(schema(), 32)
    twice = rows_of(batch, torch.arange(32).repeat(2))
    one, two = total_loss(method, batch), total_loss(method, twice)
    sentence = f"loss is {one:.6g} on a batch and {two:.6g} on its double; average over rows"
    require(torch.isclose(one, two, rtol=1.3e-6, atol=1e-5), name, sentence, "loss")
    if method.fit is None:
        once = [gradients(update) for update in all_updates(method, batch)]
        for one, update in zip(once, all_updates(method, twice), strict=True):
            other = gradients(update)
            assert other.keys() == one.keys()
            for parameter, gradient in one.items():
                torch.testing.assert_close(other[parameter], gradient, rtol=1e-4, atol=1e-6)


@every_gradient_method
def test_what_is_only_prepared_drops_nothing_afterwards(name: str) -> None:
    method = kind(name)(replace(blueprint(schema()), dropout=0.5))
    batch = make_batch(schema(), 64)
    phases = [phase for phase in method.warm_up() if phase.epochs]
    prepared = {update.module for phase in phases for update in phase.updates(batch)}
    method.train().start_epoch()
    in_training = set[nn.Module]()

    def called(module: nn.Module, *_: object) -> None:
        if module.training:
            in_training.add(module)

    for module in method.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(called)
    learning = {update.module for update in method.updates(batch)}
    frozen = {part for module in prepared - learning for part in module.modules()}
    sentence = "what was fitted before is used in training mode; call its eval() first"
    require(not in_training & frozen, name, sentence, "loss")
    assert in_training


@every_method
def test_same_seed_same_losses_and_they_fall(name: str) -> None:
    one, other = losses_of(name, seed=1, steps=3), losses_of(name, seed=1, steps=3)
    sentence = "two trainings with one seed differ; draw random numbers by torch alone"
    require(one == other, name, sentence)
    history = losses_of(name, seed=1)
    fell = min(history) < history[0]  # not the last: what a student imitates may run ahead of it
    require(fell, name, "5 steps on one batch do not lower the loss; check its sign", "loss")


@every_gradient_method
def test_another_seed_is_another_start(name: str) -> None:
    assert losses_of(name, seed=1, steps=1) != losses_of(name, seed=2, steps=1)


def losses_of(name: str, seed: int, steps: int = 5) -> list[float]:
    """Return the losses of the last phase, in steps on one batch."""
    method, batch = build(name, seed=seed), make_batch(schema(), 256)
    *warm_up, train = trainings(method, 0.01, seed)
    for prepare in warm_up:
        method.start_epoch()
        for _ in range(steps):
            prepare(batch)
    method.start_epoch()
    history = []
    for _ in range(steps):
        history.append(sum(update.loss.item() for update in method.updates(batch)))
        train(batch)
    return history


@every_method
def test_every_hyperparameter_matters(name: str) -> None:
    default = training_of(name)
    for key, distribution in kind(name).search_space.items():
        changed = (training_of(name, **{key: end}) != default for end in ends(distribution))
        require(any(changed), name, f"{key} changes nothing; use self.{key}, or delete it", key)


def training_of(name: str, **hyperparameters: Any) -> tuple[list[int], list[float], float]:
    """Return the epochs of preparation, what arrives, and a loss once clicks seem to be rare.

    They depend on the number, so that some propensities are above any floor and some below.
    What takes whole tables at once gets one, of all labels.
    """
    method, rare = build(name, **hyperparameters), make_batch(schema(), 32, click=0.0)
    rare = replace(rare, click=(rare.features.dense[:, 0] > 1).float())
    seen = rare if method.fit is None else make_batch(schema(), 512)
    phases = trainings(method, 0.2)
    for _ in range(8):
        for train in phases:
            train(seen)
    loss = total_loss(method, make_batch(schema(), 32)).item()
    schedule = method.schedule()
    arriving = [] if schedule is None else schedule(clicks()).elapsed.tolist()
    return [phase.epochs for phase in method.warm_up()], arriving, loss


def ends(distribution: BaseDistribution) -> tuple[Any, ...]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high
