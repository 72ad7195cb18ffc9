"""Train several models of the same class in one vectorised step.

Each keeps its own parameters, seed and order of rows. A step of a small model on a small batch
costs mostly the calls, not the arithmetic, so that several models whose parameters are stacked may
cost little more than one on a GPU that waits for calls. Where a method cannot be trained so, each
model is trained by itself.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmark.config import Protocol
from benchmark.schema import Schema
from benchmark.training.batch import Batch
from benchmark.training.host_table import HostTable
from benchmark.training.method import Method
from benchmark.training.optimizer import Adam, large_tables
from benchmark.training.table import Table
from benchmark.training.trainer import (
    Data,
    DivergedError,
    EarlyStopping,
    Fit,
    make_optimizer,
    order,
)

INTERNAL = frozenset(vars(nn.Module()))

State = dict[str, Tensor]


def allowed(kind: type[Method], protocol: Protocol, schema: Schema) -> bool:
    """Return whether the protocol asks for vectorised steps, and nothing known before forbids them.

    If one worker got several models and could not vectorise them, it would train one after the
    other. Steps that are not plain, dropout, or a table that is trained by rows forbid it.
    """
    plain = kind.takes_plain_steps() and protocol.pretraining.task == "none"
    draws = protocol.backbone.dropout > 0 and len(protocol.backbone.tower) > 0
    large = any(field.size >= protocol.row_sparse_from for field in schema.categorical)
    return protocol.vectorized_trials and plain and not draws and not large


def fit_vectorized(
    methods: Sequence[Method],
    data: Data,
    protocol: Protocol,
    hyperparameters: Sequence[dict[str, float]],
    seeds: Sequence[int],
) -> list[Fit | DivergedError] | None:
    """Do what ``fit`` does, for several methods of one class; None if they cannot be vectorised.

    Each has its own initial weights, hyper-parameters and order of rows, stops by itself, and ends
    as it would alone, up to rounding. Where None is returned, nothing was trained.

    Raises:
        UndefinedError: the selection metric has no value on the validation split.
    """
    if (used := _used(methods, data.train, protocol)) is None:
        return None
    members = [
        _Member(method, data, protocol, hyper, seed)
        for method, hyper, seed in zip(methods, hyperparameters, seeds, strict=True)
    ]
    active = members
    for epoch in range(protocol.max_epochs):
        step = Step([member.method for member in active], data.train, used)
        batches = {m.seed: order(data.train, protocol.batch_size, m.seed, epoch) for m in active}
        for rows in zip(*(batches[member.seed] for member in active), strict=True):
            step(rows, [member.optimizer for member in active])
        work = sum(map(len, batches[active[0].seed]))
        active = [member for member in active if member.continues(work)]
        if not active:
            break
    return [member.outcome() for member in members]


class _Member:
    """One of the models, with its own optimiser and early stopping."""

    def __init__(
        self, method: Method, data: Data, protocol: Protocol, hyper: dict[str, float], seed: int
    ) -> None:
        self.method, self.seed = method, seed
        self.stopping = EarlyStopping(method, data, protocol)
        self.optimizer = make_optimizer(method, hyper, protocol.row_sparse_from)
        self.diverged: DivergedError | None = None

    def continues(self, work: int) -> bool:
        try:
            return self.stopping.continues(work)
        except DivergedError as reason:
            self.diverged = reason
            return False

    def outcome(self) -> Fit | DivergedError:
        return self.diverged or self.stopping.end()


class _Loss(nn.Module):
    """The loss of a method as what a module returns, as :func:`functional_call` wants it."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch) -> Tensor:
        return self.method.loss(batch)


class Step:
    """One step of several methods, whose parameters and buffers become views of stacked ones."""

    def __init__(self, methods: Sequence[Method], table: Table, used: frozenset[str]) -> None:
        self.losses, self.table = [_Loss(method).train() for method in methods], table
        self.varying = _varying(methods)
        parameters, self.buffers = stack_module_state(self.losses)
        self.parameters = {name: stacked.detach() for name, stacked in parameters.items()}
        self.trained = list[list[tuple[str, nn.Parameter]]]()
        for i, loss in enumerate(self.losses):
            for name, part in (*loss.named_parameters(), *loss.named_buffers()):
                part.data = (self.parameters | self.buffers)[name][i]
            self.trained.append([pair for pair in loss.named_parameters() if pair[0] in used])

    def __call__(self, rows: Sequence[Tensor], optimizers: Sequence[Adam]) -> None:
        """Take it, each method on its own ``rows`` (B,) of the table."""
        gradients = self.gradients(rows)
        for i, (trained, optimizer) in enumerate(zip(self.trained, optimizers, strict=True)):
            for name, parameter in trained:
                parameter.grad = gradients[name][i]
            optimizer.step()

    def gradients(self, rows: Sequence[Tensor]) -> State:
        """Return the gradients (methods, ...) of all parameters."""
        shared = all(own is rows[0] for own in rows)
        union = rows[0] if shared else torch.cat(list(rows))
        batch = [part.index_select(0, union) for part in self.table.tensors]
        if not shared:
            batch = [part.unflatten(0, (len(rows), -1)) for part in batch]
        each = vmap(grad(self._loss), in_dims=(0, 0, 0, None if shared else 0))
        values = [values for _, _, values in self.varying]
        gradients: State = each(self.parameters, self.buffers, values, batch)
        return gradients

    def _loss(
        self, parameters: State, buffers: State, values: list[Tensor], batch: list[Tensor]
    ) -> Tensor:
        with self._set(values):
            loss: Tensor = functional_call(
                self.losses[0], (parameters, buffers), (self.table.of(batch),)
            )
        return loss

    @contextmanager
    def _set(self, values: Sequence[Tensor]) -> Iterator[None]:
        """Give the first method the hyper-parameters of all, as one tensor each."""
        own = [getattr(module, name) for module, name, _ in self.varying]
        try:
            for (module, name, _), value in zip(self.varying, values, strict=True):
                setattr(module, name, value)
            yield
        finally:
            for (module, name, _), value in zip(self.varying, own, strict=True):
                setattr(module, name, value)


def _varying(methods: Sequence[Method]) -> list[tuple[nn.Module, str, Tensor]]:
    """Return where the methods differ in a number that is no parameter, and in which.

    Raises:
        ValueError: they differ in something else.
    """
    varying = []
    device = next(methods[0].parameters()).device
    for modules in zip(*(method.modules() for method in methods), strict=True):
        for name in vars(modules[0]).keys() - INTERNAL:
            values = [vars(module)[name] for module in modules]
            if all(value == values[0] for value in values):
                continue
            if not all(isinstance(value, float) for value in values):
                raise ValueError(f"{name} differs")
            varying.append((modules[0], name, torch.tensor(values, device=device)))
    return varying


def _used(methods: Sequence[Method], table: Table, protocol: Protocol) -> frozenset[str] | None:
    """Return which parameters have a gradient, None if the methods cannot be vectorised.

    They cannot where they draw random numbers, ask for a value, differ in their shapes, have a
    table that is trained by rows, or do what cannot be done for several at once, or only slowly:
    then the first batch, tried on copies, ends in an exception or a warning.
    """
    copies = copy.deepcopy(list(methods))
    if large_tables(copies[0], protocol.row_sparse_from) or isinstance(table, HostTable):
        return None
    rows = order(table, protocol.batch_size, 0, 0)[0]
    try:
        with warnings.catch_warnings(action="error"):
            loss = _Loss(copies[0]).train()
            names, parameters = zip(*loss.named_parameters(), strict=True)
            gradients = torch.autograd.grad(loss(table.take(rows)), parameters, allow_unused=True)
            Step(copies, table, frozenset()).gradients([rows.clone() for _ in copies])
    except Exception:  # noqa: BLE001 (whatever it is, each can be trained by itself)
        return None
    return frozenset(
        n for n, gradient in zip(names, gradients, strict=True) if gradient is not None
    )
