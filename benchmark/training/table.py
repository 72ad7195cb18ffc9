"""A split as packed tensors on the device, from which batches are taken by index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from benchmark.schema import LABELS, TIMES, Schema
from benchmark.training.arrivals import Clicks
from benchmark.training.funnel import Features, Funnel


@dataclass(frozen=True)
class Table:
    """Rows as ``ids`` (N, F) int32, ``numbers`` (N, D) float32 and ``labels`` (N, L) float32.

    ``names`` are the labels' names; unknown labels are 0 here and marked by nothing, so only a
    :class:`Funnel`, which says what may be read of it, is ever taken out. ``sequences`` is
    (N, S, length) int32, or None where the log has none; so are ``clicks`` without times, whose
    time is NaN in rows without a click.
    """

    ids: Tensor
    numbers: Tensor
    labels: Tensor
    names: tuple[str, ...]
    sequences: Tensor | None = None
    clicks: Clicks | None = None

    @classmethod
    def read(cls, folder: Path, split: str, schema: Schema, device: torch.device) -> Table:
        """Read a Parquet split of a ready folder onto a device."""
        frame = pl.read_parquet(folder / f"{split}.parquet")
        sequences = _sequences(frame, schema)
        names = tuple(label for label in LABELS if label in frame.columns)
        ids = [field.name for field in schema.categorical]
        numbers = [field.name for field in schema.numeric]
        return cls(
            _tensor(frame.select(pl.col(ids).cast(pl.Int32)), np.int32).to(device),
            _tensor(frame.select(numbers), np.float32).view(len(frame), len(numbers)).to(device),
            _tensor(frame.select(pl.col(names).fill_null(0)), np.float32).to(device),
            names,
            None if sequences is None else sequences.to(device),
            _clicks(frame, schema, device),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def order(self, generator: torch.Generator) -> Tensor:
        """Return the row numbers, shuffled."""
        return torch.randperm(len(self), generator=generator).to(self.ids.device)

    def features(self, rows: slice) -> Features:
        """Return the inputs of consecutive rows."""
        sequences = None if self.sequences is None else self.sequences[rows]
        return Features(self.ids[rows], self.numbers[rows], sequences)

    def take(self, rows: Tensor) -> Funnel:
        """Return the batch with the given row numbers (B,), a tensor on the table's device."""
        return self.of(part.index_select(0, rows) for part in self.tensors)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What a batch is made of, each with rows first."""
        sequences = () if self.sequences is None else (self.sequences,)
        return (self.ids, self.numbers, self.labels, *sequences)

    def of(self, tensors: Iterable[Tensor]) -> Funnel:
        """Return the batch that is made of rows of these ``tensors``."""
        ids, numbers, labels, *others = tensors
        sequences = others[0] if others else None
        return Table(ids, numbers, labels, self.names, sequences).whole()

    def whole(self) -> Funnel:
        """Return all rows as one batch, without a copy."""
        labels = dict(zip(self.names, self.labels.unbind(1), strict=True))
        return Funnel(
            Features(self.ids, self.numbers, self.sequences),
            click=labels.get("click"),
            conversion=labels["conversion"],
            micro=labels.get("micro"),
            macro=labels.get("macro"),
        )


def _tensor(frame: pl.DataFrame, dtype: type) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frame.to_numpy(writable=True), dtype=dtype))


def _clicks(frame: pl.DataFrame, schema: Schema, device: torch.device) -> Clicks | None:
    """Return the times in attribution windows."""
    if schema.attribution_window is None:
        return None
    time, delay = (frame[column] / schema.attribution_window for column in TIMES)
    filled = (time.fill_null(np.nan), delay.fill_null(np.inf))
    return Clicks(*(torch.tensor(column.to_numpy(), device=device) for column in filled))


def _sequences(frame: pl.DataFrame, schema: Schema) -> Tensor | None:
    """Return all sequences as one tensor, as long as the longest."""
    if not schema.sequences:
        return None
    length = max(field.length for field in schema.sequences)
    packed = np.zeros((len(frame), len(schema.sequences), length), np.int32)
    for i, field in enumerate(schema.sequences):
        packed[:, i, length - field.length :] = frame[field.name].to_numpy()
    return torch.from_numpy(packed)
