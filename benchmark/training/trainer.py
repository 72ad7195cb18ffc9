"""The one training loop: the same data order, optimiser and stopping rule for every method."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark import parquet
from benchmark.config import Protocol
from benchmark.metrics.criteria import best
from benchmark.metrics.evaluation import evaluate_one
from benchmark.metrics.ordering import NO_GROUP
from benchmark.metrics.populations import Array, Labels, Scores
from benchmark.schema import Schema
from benchmark.training.batch import Batch
from benchmark.training.delays.replay import Replay, arrange
from benchmark.training.delays.schedule import Schedule
from benchmark.training.distributed import agreed, average, check, processes, share, total
from benchmark.training.host_table import on_device
from benchmark.training.method import Method, Update
from benchmark.training.optimizer import Adam
from benchmark.training.pretraining import pretraining
from benchmark.training.table import Table

# Of one forward pass without gradients: on a CPU its layers stay in the caches, a GPU is kept busy.
PREDICTION_ROWS, PREDICTION_ROWS_ON_CPU = 65536, 4096

Updates = Callable[[Batch], Iterator[Update]]


class DivergedError(ArithmeticError):
    """Training produced predictions that are not numbers."""


@dataclass(frozen=True)
class Split:
    """Rows for the model, and apart from them the truth for the metrics."""

    table: Table
    labels: Labels


@dataclass(frozen=True)
class Data:
    """A processed dataset on a device, or as near to it as there is room."""

    schema: Schema
    train: Table
    valid: Split
    test: Split

    @classmethod
    def read(cls, folder: Path, device: torch.device) -> Data:
        """Read a processed folder.

        Raises:
            ValueError: its splits are not those that its schema was written for.
        """
        schema = Schema.read(folder)
        schema.check_splits(folder)
        tables = {
            name: on_device(Table.read(folder, name, schema), device)
            for name in ("train", "valid", "test")
        }
        splits = {
            name: Split(tables[name], read_labels(folder, name, schema))
            for name in ("valid", "test")
        }
        return cls(schema, tables["train"], **splits)


@dataclass(frozen=True)
class Fit:
    """What training cost and when it was best; ``history`` holds the selection metric by epoch."""

    best_epoch: int
    history: tuple[float, ...]
    sample_gradients: int


def fit(
    method: Method,
    data: Data,
    protocol: Protocol,
    hyperparameters: dict[str, float],
    seed: int,
) -> Fit:
    """Train in place, stop early on the validation split, end with the best epoch's weights.

    Raises:
        DivergedError: a prediction on the validation split is not a number.
        UndefinedError: the selection metric has no value on it.
        ValueError: several processes train the model, whose training does not allow that.
    """
    check(method, data.train, protocol)
    stopping = EarlyStopping(method, data, protocol)
    for work in epochs(method, data, protocol, hyperparameters, seed):
        if not stopping.continues(work):
            break
    return stopping.end()


class EarlyStopping:
    """One training, epoch by epoch: it keeps the weights to end with and knows when to stop."""

    def __init__(self, method: Method, data: Data, protocol: Protocol) -> None:
        self.method, self.valid, self.protocol = method, data.valid, protocol
        self.work, self.best_epoch, self.history = 0, 0, list[float]()

    def continues(self, work: int) -> bool:
        """Validate after an epoch of so much work; return whether to train another one.

        Raises:
            DivergedError: a prediction on the validation split is not a number.
            UndefinedError: the selection metric has no value on it.
        """
        metric, epoch = self.protocol.selection_metric, len(self.history)
        scores = predict(self.method, self.valid.table)
        value = evaluate_one(metric, self.valid.labels, scores)
        self.history.append(agreed(value, self.method))
        self.work += work
        last = self.protocol.kept_epoch == "last"
        self.best_epoch = epoch if last else best(metric, self.history)
        if self.best_epoch == epoch:
            self.weights = _copied(self.method.state_dict())
        return epoch - self.best_epoch < self.protocol.patience

    def end(self) -> Fit:
        """Return to the weights of the best epoch."""
        self.method.load_state_dict(self.weights)
        return Fit(self.best_epoch, tuple(self.history), self.work)


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state to keep; ``deepcopy`` of a view would keep all that it is a view of."""
    return {
        name: value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)
        for name, value in state.items()
    }


def epochs(
    method: Method,
    data: Data,
    protocol: Protocol,
    hyperparameters: dict[str, float],
    seed: int,
) -> Iterator[int]:
    """Train in place, epoch by epoch, and yield the work of each, in rows × gradients.

    What precedes the first epoch counts as part of it. The order of rows depends on ``seed``
    alone, so all methods see the same batches; but those with a schedule see what arrives, in that
    order, in about as many batches per epoch. Validation is on final labels.
    """

    def train_epochs(
        updates: Updates,
        numbers: Iterable[int],
        schedule: Schedule | None = None,
        module: nn.Module = method,
    ) -> Iterator[int]:
        optimizer = make_optimizer(module, hyperparameters, protocol.row_sparse_from)
        table = arrange(data.train, schedule)
        size = max(2, protocol.batch_size * len(table) // len(data.train))
        for number in numbers:
            method.train()
            method.start_epoch()
            rows = batches(table, size, seed, number)
            work = sum(train_batch(optimizer, updates, batch) for batch in rows)
            yield total(work, method)

    work, extra = 0, itertools.count(protocol.max_epochs)
    before = pretraining(method, data.schema, data.train, protocol.pretraining)
    for module, phase in (*before, *((method, phase) for phase in method.warm_up())):
        passes = itertools.islice(extra, phase.epochs)
        work += sum(train_epochs(phase.updates, passes, phase.schedule, module))
    selected = train_epochs(method.updates, range(protocol.max_epochs), method.schedule())
    if method.fit is not None:
        selected = (method.fit(data.train.whole(), seed) for _ in range(protocol.max_epochs))
    for done in selected:
        yield work + done
        work = 0


def batches(table: Table | Replay, size: int, seed: int, epoch: int) -> Iterator[Batch]:
    """Yield the rows of a table, or what arrives, in an order fixed by seed and epoch."""
    return table.batches(order(table, size, seed, epoch))


def order(table: Table | Replay, size: int, seed: int, epoch: int) -> list[Tensor]:
    """Return the row numbers of each batch.

    A single last row is left out: batch normalisation cannot train on it. So are fewer rows than
    there are processes.
    """
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
    least = max(2, processes())
    return [share(rows) for rows in table.order(generator).split(size) if len(rows) >= least]


def make_optimizer(module: nn.Module, hyperparameters: dict[str, float], large: int) -> Adam:
    """Return the optimiser that every method is trained with."""
    return Adam(
        module,
        learning_rate=hyperparameters["learning_rate"],
        weight_decay=hyperparameters["weight_decay"],
        large=large,
    )


def train_batch(optimizer: torch.optim.Optimizer | Adam, updates: Updates, batch: Batch) -> int:
    """Take the steps of one batch, each in its own parameters; return rows × steps.

    Parameters that require no gradient stay as they are.
    """
    steps = 0
    for update in updates(batch):
        optimizer.zero_grad()
        parameters = [part for part in update.module.parameters() if part.requires_grad]
        gradients = torch.autograd.grad(update.loss, parameters, allow_unused=True)
        whole = average(gradients, len(batch.conversion))
        for parameter, gradient in zip(parameters, whole, strict=True):
            parameter.grad = gradient
        optimizer.step()
        steps += 1
    return steps * len(batch.conversion)


@torch.no_grad()
def predict(method: Method, table: Table) -> Scores:
    """Return the probabilities of all rows of a table.

    Raises:
        DivergedError: one of them is not a number.
    """
    method.eval()
    parts = [method(table.features(rows)) for rows in chunks(method, table)]
    cvr = _gather([part.cvr.value() for part in parts])
    ctr = None if parts[0].ctr is None else _gather([part.ctr.value() for part in parts])
    if not np.isfinite(cvr).all() or (ctr is not None and not np.isfinite(ctr).all()):
        raise DivergedError(f"{method.name} predicts values that are not numbers")
    return Scores(cvr=cvr, ctr=ctr)


def chunks(module: nn.Module, table: Table) -> Iterator[slice]:
    """Yield the rows of a table, as many at a time as suit the device of a module."""
    device = next(module.parameters(), table.sparse).device
    size = PREDICTION_ROWS_ON_CPU if device.type == "cpu" else PREDICTION_ROWS
    return (slice(start, start + size) for start in range(0, len(table), size))


def _gather(parts: list[Tensor]) -> Array:
    return torch.cat(parts).double().cpu().numpy()


def read_labels(folder: Path, split: str, schema: Schema) -> Labels:
    """Read the truth of a split: NaN where a label is unknown, oracle columns where they exist."""
    scan = parquet.scan(folder / f"{split}.parquet")
    present = scan.collect_schema().names()
    columns = ("conversion", "click", "policy", "group")
    frame = scan.select(name for name in columns if name in present).collect()
    oracle = folder / f"{split}.oracle.parquet"
    truth = parquet.read(oracle) if oracle.is_file() else None
    return Labels(
        conversion=_floats(frame["conversion"]),
        click=_floats(frame["click"]) if "click" in frame.columns else None,
        random=(frame["policy"] == "random").to_numpy(),
        group=_groups(frame["group"]) if schema.has_groups else None,
        oracle_conversion=None if truth is None else _floats(truth["oracle_conversion"]),
        oracle_cvr=None if truth is None else _floats(truth["oracle_cvr"]),
        oracle_ctr=None if truth is None else _floats(truth["oracle_ctr"]),
    )


def _groups(column: pl.Series) -> NDArray[np.int64]:
    """Return the numbers of groups; processed data has 0 in rows that belong to none."""
    return column.cast(pl.Int64).replace(0, NO_GROUP).to_numpy()


def _floats(column: pl.Series) -> Array:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
