"""A split as packed tensors on the device, from which batches are taken by index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from benchmark import parquet
from benchmark.schema import LABELS, TIMES, Schema
from benchmark.training.batch import Batch, Features
from benchmark.training.delays.schedule import Clicks

PIECE = 1 << 18  # rows read at a time, those of a row group


@dataclass(frozen=True)
class Table:
    """Rows as ``ids`` (N, F) int32, ``numbers`` (N, D) float32 and ``labels`` (N, L) float32.

    ``names`` are the labels' names; unknown labels are 0 here and marked by nothing, so only a
    :class:`Batch`, which says what may be read of it, is ever taken out. ``sequences`` is
    (N, S, length) int32, or None where the dataset has none; so are ``clicks`` without times, whose
    time is NaN in rows without a click.
    """

    sparse: Tensor
    dense: Tensor
    labels: Tensor
    names: tuple[str, ...]
    sequences: Tensor | None = None
    clicks: Clicks | None = None

    @classmethod
    def read(cls, folder: Path, split: str, schema: Schema) -> Table:
        """Read a Parquet split of a processed folder, piece by piece: memory holds it once."""
        scan = parquet.scan(folder / f"{split}.parquet")
        present = scan.collect_schema().names()
        names = tuple(label for label in LABELS if label in present)
        length = max((field.length for field in schema.sequences), default=0)
        rows = scan.select(pl.len()).collect().item()
        table = cls(
            torch.empty(rows, len(schema.categorical), dtype=torch.int32),
            torch.empty(rows, len(schema.numeric)),
            torch.empty(rows, len(names)),
            names,
            torch.zeros(rows, len(schema.sequences), length, dtype=torch.int32) if length else None,
            _clicks(scan, schema),
        )
        for start in range(0, rows, PIECE):
            table._fill(start, scan.slice(start, PIECE).collect(), schema)
        return table

    def _fill(self, start: int, frame: pl.DataFrame, schema: Schema) -> None:
        rows = slice(start, start + len(frame))
        labels = frame.select(pl.col(self.names).fill_null(0))
        _copy(self.sparse[rows], frame.select(field.name for field in schema.categorical))
        _copy(self.dense[rows], frame.select(field.name for field in schema.numeric))
        _copy(self.labels[rows], labels)
        if self.sequences is not None:
            for i, field in enumerate(schema.sequences):
                own = torch.from_numpy(frame[field.name].to_numpy(writable=True))
                self.sequences[rows, i, -field.length :] = own

    def to(self, device: torch.device) -> Table:
        """Return the table on a device."""
        clicks = self.clicks and self.clicks.to(device)
        return self._made((part.to(device) for part in self.tensors), clicks)

    def __len__(self) -> int:
        return len(self.sparse)

    def order(self, generator: torch.Generator) -> Tensor:
        """Return the row numbers, shuffled."""
        return torch.randperm(len(self), generator=generator).to(self.sparse.device)

    def features(self, rows: slice) -> Features:
        """Return the inputs of consecutive rows."""
        sequences = None if self.sequences is None else self.sequences[rows]
        return Features(self.sparse[rows], self.dense[rows], sequences)

    def take(self, rows: Tensor) -> Batch:
        """Return the batch with the given row numbers (B,), a tensor on the table's device."""
        return self.of(part.index_select(0, rows) for part in self.tensors)

    def batches(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield the batches with the given row numbers."""
        return map(self.take, order)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What a batch is made of, each with rows first."""
        sequences = () if self.sequences is None else (self.sequences,)
        return (self.sparse, self.dense, self.labels, *sequences)

    def of(self, tensors: Iterable[Tensor]) -> Batch:
        """Return the batch that is made of rows of these ``tensors``."""
        return self._made(tensors).whole()

    def _made(self, tensors: Iterable[Tensor], clicks: Clicks | None = None) -> Table:
        sparse, dense, labels, *others = tensors
        return Table(sparse, dense, labels, self.names, others[0] if others else None, clicks)

    def whole(self) -> Batch:
        """Return all rows as one batch, without a copy."""
        labels = dict(zip(self.names, self.labels.unbind(1), strict=True))
        return Batch(
            Features(self.sparse, self.dense, self.sequences),
            click=labels.get("click"),
            conversion=labels["conversion"],
            micro=labels.get("micro"),
            macro=labels.get("macro"),
        )


def _copy(rows: Tensor, frame: pl.DataFrame) -> None:
    """Fill rows (B, columns), which lie one after the other, column by column."""
    target = rows.numpy()
    for i, column in enumerate(frame):
        target[:, i] = column.to_numpy()


def _clicks(scan: pl.LazyFrame, schema: Schema) -> Clicks | None:
    """Return the times in attribution windows."""
    if schema.attribution_window is None:
        return None
    frame = scan.select(pl.col(TIMES) / schema.attribution_window).collect()
    time, delay = (frame[column] for column in TIMES)
    filled = (time.fill_null(np.nan), delay.fill_null(np.inf))
    return Clicks(*(torch.tensor(column.to_numpy()) for column in filled))
