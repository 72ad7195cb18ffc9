"""Measure how many rows per second of one core training takes, here and in other packages.

Every contestant trains ESMM (HM3 too, here) on the same rows: 20 categorical fields, 5 numbers,
embeddings of 16, towers 128-64, Adam. They take turns, so that what else the machine does hits
all alike; the median of the rounds is printed, and its ratio to a hand-tuned loop. Packages that
are not installed are left out. MTReclib is none and has no ESMM: with ``--mtreclib CHECKOUT`` its
Shared-Bottom is compared with ours. Run: python speed/training.py [--rows N] [--batch B]
With ``--scale 10`` and ``--only row-sparse``, say, it shows what larger vocabularies cost.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as fn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark import registry
from benchmark.config import Protocol
from benchmark.schema import Field, Schema
from benchmark.training.blueprint import Blueprint, Embeddings
from benchmark.training.method import Method
from benchmark.training.optimizer import Adam
from benchmark.training.table import Table
from benchmark.training.trainer import batches, train_batch

FIELDS, NUMBERS, SIZE, TOWER, RATE = 20, 5, 16, (128, 64), 1e-3
ROUNDS, NEVER = 5, 10**12
DEFAULT = int(Protocol.model_fields["row_sparse_from"].default)
HAND_TUNED = "ESMM, hand-tuned"

Epoch = Callable[[], None]


class Log:
    """Rows with ids as often as real ones are: log-uniform within each field."""

    def __init__(self, rows: int, scale: int) -> None:
        rng = np.random.default_rng(2024)
        self.sizes = [int(size) * scale for size in np.geomspace(100, 100_000, FIELDS)]
        uniform = rng.random((rows, FIELDS))
        self.ids = np.minimum(np.power(self.sizes, uniform) - 1, np.array(self.sizes) - 1)
        self.ids = self.ids.astype(np.int32)
        self.numbers = rng.normal(size=(rows, NUMBERS)).astype(np.float32)
        self.click = (rng.random(rows) < 0.2).astype(np.float32)
        self.conversion = self.click * (rng.random(rows) < 0.1).astype(np.float32)

    def schema(self) -> Schema:
        """Return the schema of these rows; micro and macro are there for methods that need them."""
        fields = [Field(name=f"c{i}", kind="categorical", size=s) for i, s in enumerate(self.sizes)]
        fields += [Field(name=f"d{i}", kind="numeric", size=1) for i in range(NUMBERS)]
        return Schema(
            dataset="speed", title="", options={}, fields=tuple(fields), rows={},
            stages=("impression", "click", "micro", "macro", "conversion"), has_oracle=False,
            has_groups=False, verified=False, licence="", citation="", claims="", fingerprint="",
        )  # fmt: skip


def hand_tuned(log: Log, batch: int) -> Epoch:
    """ESMM as one would write it for this table alone."""
    starts = torch.tensor([0, *log.sizes[:-1]]).cumsum(0).int()
    ids, numbers = torch.from_numpy(log.ids) + starts, torch.from_numpy(log.numbers)
    labels = torch.from_numpy(np.stack([log.click, log.conversion], 1))
    table = nn.Embedding(sum(log.sizes), SIZE)
    towers = nn.ModuleList(_tower(FIELDS * SIZE + NUMBERS) for _ in range(2))
    parameters = [*table.parameters(), *towers.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=RATE, fused=True)

    def epoch() -> None:
        for rows in torch.randperm(len(ids)).split(batch):
            click, conversion = labels.index_select(0, rows).unbind(1)
            vectors = table(ids.index_select(0, rows)).flatten(1)
            inputs = torch.cat([vectors, numbers.index_select(0, rows)], 1)
            ctr, cvr = (tower(inputs).squeeze(1) for tower in towers)
            both = fn.logsigmoid(ctr) + fn.logsigmoid(cvr)
            neither = torch.log1p(-both.exp().clamp(max=1 - 1e-6))
            loss = fn.binary_cross_entropy_with_logits(ctr, click)
            loss = loss - (conversion * both + (1 - conversion) * neither).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def _tower(width: int) -> nn.Sequential:
    first, second = TOWER
    return nn.Sequential(
        nn.Linear(width, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(),
        nn.Linear(second, 1),
    )  # fmt: skip


def ours(log: Log, batch: int, method: str, large: int) -> Epoch:
    """A method of the suite, by the suite's own training step."""
    blueprint = Blueprint(
        log.schema(), lambda s: Embeddings(s, embedding_size=SIZE, hidden=()), TOWER
    )
    model = registry.load("methods", method, Method)(blueprint)
    optimizer = Adam(model, learning_rate=RATE, weight_decay=0.0, large=large)
    labels = np.stack([log.click, log.click, log.click, log.conversion], 1)
    names = ("click", "micro", "macro", "conversion")
    ids, numbers, known = map(torch.from_numpy, (log.ids, log.numbers, labels))
    table = Table(ids, numbers, known, names)
    return lambda: _train(model, optimizer, table, batch)


def _train(model: Method, optimizer: Adam, table: Table, batch: int) -> None:
    for funnel in batches(table, batch, seed=0, epoch=0):
        train_batch(optimizer, model.updates, funnel)


def torch_rechub(log: Log, batch: int, device: str = "cpu") -> Epoch:
    """The package's ESMM and trainer; its ESMM takes no numbers."""
    from torch_rechub.basic.features import SparseFeature
    from torch_rechub.models.multi_task import ESMM
    from torch_rechub.trainers import MTLTrainer
    from torch_rechub.utils.data import DataGenerator

    features = [SparseFeature(f"c{i}", s, embed_dim=SIZE) for i, s in enumerate(log.sizes)]
    tower = {"dims": list(TOWER)}
    model = ESMM(features[:1], features[1:], cvr_params=tower, ctr_params=tower)
    trainer = MTLTrainer(
        model, ["classification"] * 3, optimizer_params={"lr": RATE}, n_epoch=1, device=device
    )
    columns = {f"c{i}": column for i, column in enumerate(log.ids.T)}
    labels = np.stack([log.conversion, log.click, log.conversion], 1)
    loader, *_ = DataGenerator(columns, labels).generate_dataloader(
        x_val=columns, y_val=labels, x_test=columns, y_test=labels, batch_size=batch
    )
    return lambda: trainer.train_one_epoch(loader)


def deepctr_torch(log: Log, batch: int) -> Epoch:
    """The package's ESMM and ``fit``."""
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import ESMM

    columns: list[Any] = [
        SparseFeat(f"c{i}", vocabulary_size=s, embedding_dim=SIZE) for i, s in enumerate(log.sizes)
    ]
    columns += [DenseFeat(f"d{i}", 1) for i in range(NUMBERS)]
    model = ESMM(columns, tower_dnn_hidden_units=TOWER, l2_reg_embedding=0, l2_reg_linear=0)
    model.compile("adam", ["binary_crossentropy"] * 2)
    inputs = {f"c{i}": column for i, column in enumerate(log.ids.T)}
    inputs |= {f"d{i}": column for i, column in enumerate(log.numbers.T)}
    labels = np.stack([log.click, log.conversion], 1)
    return lambda: model.fit(inputs, labels, batch_size=batch, epochs=1, verbose=0)


def mtreclib(log: Log, batch: int, checkout: Path | None) -> Epoch:
    """Its Shared-Bottom, trained as its main.py does: Adam, and a loader that collates rows."""
    if checkout is None:
        raise ModuleNotFoundError("no checkout of it is named")
    sys.path.append(str(checkout))
    from models.sharedbottom import SharedBottomModel

    model = SharedBottomModel(log.sizes, NUMBERS, SIZE, TOWER[:1], TOWER, 2, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    labels = np.stack([log.click, log.conversion], 1)
    rows = TensorDataset(*map(torch.from_numpy, (log.ids.astype(np.int64), log.numbers, labels)))
    loader = DataLoader(rows, batch_size=batch, shuffle=True)

    def epoch() -> None:
        for ids, numbers, truth in loader:
            predicted = model(ids, numbers)
            parts = [fn.binary_cross_entropy(p, t) for p, t in zip(predicted, truth.T, strict=True)]
            model.zero_grad()
            loss = torch.stack(parts)
            loss.mean().backward()
            optimizer.step()
            loss.sum().item()

    return epoch


def contestants(log: Log, batch: int, checkout: Path | None) -> dict[str, Callable[[], Epoch]]:
    """Return what makes each contestant."""
    return {
        HAND_TUNED: lambda: hand_tuned(log, batch),
        "ESMM, ours, by default": lambda: ours(log, batch, "esmm", large=DEFAULT),
        "ESMM, ours, dense": lambda: ours(log, batch, "esmm", large=NEVER),
        "ESMM, ours, row-sparse": lambda: ours(log, batch, "esmm", large=1),
        "HM3, ours": lambda: ours(log, batch, "hm3", large=NEVER),
        "HM3, ours, row-sparse": lambda: ours(log, batch, "hm3", large=1),
        "ESMM, torch_rechub": lambda: torch_rechub(log, batch),
        "ESMM, deepctr_torch": lambda: deepctr_torch(log, batch),
        "Shared-Bottom, ours": lambda: ours(log, batch, "shared_bottom", large=DEFAULT),
        "Shared-Bottom, MTReclib": lambda: mtreclib(log, batch, checkout),
    }


def made(makers: dict[str, Callable[[], Epoch]]) -> Iterator[tuple[str, Epoch]]:
    """Yield every contestant whose package is installed."""
    for name, make in makers.items():
        try:
            yield name, make()
        except ModuleNotFoundError as error:
            print(f"{name} is left out: {error}")


def seconds(epoch: Epoch) -> float:
    """Return the processor time of a pass, whatever it prints."""
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        epoch()
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--scale", type=int, default=1, help="every vocabulary, times this")
    parser.add_argument("--mtreclib", type=Path, help="a checkout of MTReclib")
    parser.add_argument("--only", default="", help="contestants whose names have this in them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    log = Log(arguments.rows, arguments.scale)
    makers = contestants(log, arguments.batch, arguments.mtreclib)
    models = dict(made({name: make for name, make in makers.items() if arguments.only in name}))
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, epoch in models.items():
            times[name].append(seconds(epoch))
    print(f"{arguments.rows:,} rows, batch {arguments.batch}, {sum(log.sizes):,} ids, one thread")
    medians = {name: statistics.median(spent) for name, spent in times.items()}
    for name, middle in medians.items():
        ratio = (
            f", {medians[HAND_TUNED] / middle:.2f} × hand-tuned" if HAND_TUNED in medians else ""
        )
        print(f"{name:24}{arguments.rows / middle / 1000:7.1f} k rows/s of one core{ratio}")


if __name__ == "__main__":
    main()
