"""Row-sparse Adam against dense Adam: equal where every row is visited, lazy where none is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from helpers.worlds import blueprint, make_batch, schema
from torch import Tensor, nn

from benchmark import registry
from benchmark.training.batch import Batch
from benchmark.training.method import Method, Update
from benchmark.training.optimizer import EPSILON, Adam, large_tables
from benchmark.training.trainer import train_batch

ROWS, SIZE = 12, 3
RATE, DECAY = 0.03, 0.1


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.table = nn.Embedding(ROWS, SIZE)
        self.head = nn.Linear(SIZE, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def loss(self, ids: Tensor, target: Tensor) -> Tensor:
        return ((self.head(self.table(ids)).squeeze(-1) - target) ** 2).mean()


def batches(steps: int, *, every_row: bool) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    for _ in range(steps):
        some = torch.randint(0, ROWS // 2, (20,), generator=generator)
        ids = torch.cat([torch.arange(ROWS), some]) if every_row else some
        yield ids, torch.randn(len(ids), generator=generator)


def train(large: int, *, every_row: bool, steps: int = 30) -> Model:
    model = Model()
    optimizer = Adam(model, learning_rate=RATE, weight_decay=DECAY, large=large)
    for ids, target in batches(steps, every_row=every_row):
        for parameter, gradient in zip(
            model.parameters(),
            torch.autograd.grad(model.loss(ids, target), list(model.parameters())),
            strict=True,
        ):
            parameter.grad = gradient
        optimizer.step()
        optimizer.zero_grad()
    return model


def dense_reference(*, every_row: bool, steps: int = 30) -> Model:
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=DECAY, eps=EPSILON)
    for ids, target in batches(steps, every_row=every_row):
        optimizer.zero_grad()
        model.loss(ids, target).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("large", [1, ROWS, ROWS + 1], ids=["rows", "rows at the limit", "dense"])
def test_equals_dense_adam_where_every_row_is_in_every_batch(large: int) -> None:
    model, reference = train(large, every_row=True), dense_reference(every_row=True)
    assert model.table.sparse == (large <= ROWS)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_dense_parts_move_by_the_very_numbers_of_pytorchs_adam() -> None:
    """Also where some have no gradient, which then count no step."""
    ours, theirs = Model(), Model()
    own = Adam(ours, learning_rate=RATE, weight_decay=DECAY, large=ROWS + 1)
    reference = torch.optim.Adam(
        theirs.parameters(), lr=RATE, weight_decay=DECAY, eps=EPSILON, fused=True
    )
    for number, (ids, target) in enumerate(batches(9, every_row=False)):
        for model, optimizer in ((ours, own), (theirs, reference)):
            optimizer.zero_grad()
            model.loss(ids, target).backward()
            model.head.bias.grad = None if number % 3 == 0 else model.head.bias.grad
            optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_row_that_is_in_no_batch_keeps_its_value() -> None:
    start, rows, dense = Model(), train(1, every_row=False), dense_reference(every_row=False)
    unseen = slice(ROWS // 2, None)
    assert torch.equal(rows.table.weight[unseen], start.table.weight[unseen])
    assert not torch.equal(dense.table.weight[unseen], start.table.weight[unseen])


def test_a_visited_row_moves_as_a_dense_adam_over_its_visits_alone() -> None:
    """With bias correction by steps: the moments of the second visit are those of two gradients."""
    table = nn.Embedding(ROWS, SIZE)
    start = table.weight.detach().clone()
    optimizer = Adam(table, learning_rate=RATE, weight_decay=0.0, large=1)
    for row in (0, 1, 0):
        table.weight.grad = torch.autograd.grad(
            table(torch.tensor([row, row])).sum(), [table.weight]
        )[0]
        optimizer.step()
    mean = square = torch.zeros(SIZE)
    expected = start[0].clone()
    for step in (1, 3):
        gradient = torch.full((SIZE,), 2.0)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        corrected = (square / (1 - 0.999**step)).sqrt() + EPSILON
        expected -= RATE * mean / (1 - 0.9**step) / corrected
    torch.testing.assert_close(table.weight[0].detach(), expected)


def test_a_dense_gradient_moves_all_rows_of_a_large_table() -> None:
    table = nn.Embedding(ROWS, SIZE)
    start = table.weight.detach().clone()
    optimizer = Adam(table, learning_rate=RATE, weight_decay=0.0, large=1)
    table.weight.grad = torch.ones_like(table.weight)
    optimizer.step()
    torch.testing.assert_close(table.weight.detach(), start - RATE)
    optimizer.zero_grad()
    assert table.weight.grad is None


def test_parts_without_a_gradient_stay_as_they_are() -> None:
    model, start = Model(), Model()
    optimizer = Adam(model, learning_rate=RATE, weight_decay=DECAY, large=1)
    model.head.bias.grad = torch.ones_like(model.head.bias)
    optimizer.step()
    assert torch.equal(model.table.weight, start.table.weight)
    assert torch.equal(model.head.weight, start.head.weight)
    assert not torch.equal(model.head.bias, start.head.bias)


@pytest.mark.parametrize("name", registry.names("methods"))
def test_every_method_has_the_same_gradients_by_rows(name: str) -> None:
    kind = registry.load("methods", name, Method)
    if kind.fit is not None:
        pytest.skip("descends no gradient")
    torch.manual_seed(0)
    method, batch = kind(blueprint(schema())), make_batch(schema(), 32)
    dense = {id(p): g for p, g in first_gradients(method, batch)}
    assert large_tables(method, 1)
    rows = first_gradients(method, batch)
    assert any(gradient.is_sparse for _, gradient in rows)
    for parameter, gradient in rows:
        torch.testing.assert_close(gradient.to_dense(), dense[id(parameter)])


def first_gradients(method: Method, batch: Batch) -> list[tuple[nn.Parameter, Tensor]]:
    torch.manual_seed(1)
    method.start_epoch()
    update = next(method.updates(batch))
    parameters = list(update.module.parameters())
    found = torch.autograd.grad(update.loss, parameters, allow_unused=True)
    return [(p, g) for p, g in zip(parameters, found, strict=True) if g is not None]


@pytest.mark.parametrize("name", registry.names("methods"))
def test_every_method_steps_as_plain_adam_does(name: str) -> None:
    """Whatever the memory layout of a gradient: PyTorch's fused Adam disregards it."""
    kind = registry.load("methods", name, Method)
    if kind.fit is not None:
        pytest.skip("descends no gradient")
    torch.manual_seed(0)
    ours = kind(blueprint(schema())).double()
    theirs, batch = copy.deepcopy(ours), make_batch(schema(), 64)
    fused = Adam(ours, learning_rate=RATE, weight_decay=DECAY, large=10**9)
    plain = torch.optim.Adam(
        theirs.parameters(), lr=RATE, weight_decay=DECAY, eps=EPSILON, fused=False, foreach=False
    )
    for _ in range(3):
        torch.manual_seed(1)
        train_batch(fused, phases(ours), batch)
        torch.manual_seed(1)
        for update in phases(theirs)(batch):
            plain.zero_grad()
            update.loss.backward(inputs=list(update.module.parameters()))
            plain.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


def phases(method: Method) -> Callable[[Batch], Iterator[Update]]:
    """Return all steps that a batch causes, of every phase."""

    def updates(batch: Batch) -> Iterator[Update]:
        for each in (*(phase.updates for phase in method.warm_up()), method.updates):
            method.start_epoch()
            yield from each(batch)

    return updates


def test_fused_adam_takes_gradients_of_any_layout() -> None:
    weight = nn.Linear(3, 4, bias=False)
    gradient = torch.randn(3, 4).T
    assert gradient.stride() != weight.weight.stride()
    wanted = copy.deepcopy(weight)
    wanted.weight.grad = gradient.contiguous()
    torch.optim.Adam(wanted.parameters(), lr=RATE, fused=False).step()
    weight.weight.grad = gradient
    Adam(weight, learning_rate=RATE, weight_decay=0.0, large=10**9).step()
    torch.testing.assert_close(weight.weight, wanted.weight)
