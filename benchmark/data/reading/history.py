"""What was known before each row of a log: counts, waiting times and histories of its key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmark.data.partitions import (
    by_hash,
    lazy_from_frames,
    map_in_order,
    stored,
    temporary_folder,
)

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

PART_BYTES = 1 << 26  # of the raw file, per partition


class Past:
    """The earlier events of the same key, per event of a frame with a column ``time``.

    Earlier means a smaller time: in which order events of the same time happened is unknown.
    All results are in the order of the frame.
    """

    def __init__(self, events: pl.DataFrame, *key: str) -> None:
        self.time = events["time"].to_numpy()
        self.order = events.select(pl.arg_sort_by(*key, "time", maintain_order=True)).to_series()
        runs = events.select(*key, "time")[self.order].select(
            start=pl.struct(key).rle_id(), tie=pl.struct(*key, "time").rle_id()
        )
        self.start, self.tie = (self._first_of_run(runs[name]) for name in ("start", "tie"))

    def _first_of_run(self, run: pl.Series) -> Integers:
        starts = np.flatnonzero(np.diff(run.to_numpy().astype(np.int64), prepend=-1))
        first = np.empty(len(run), np.int64)
        first[self.order.to_numpy()] = starts[run.to_numpy()]
        return first

    def count(self, flags: Flags) -> Integers:
        """Return how many earlier events have a flag."""
        before = self._cumulated(flags)
        return before[self.tie] - before[self.start]

    def since(self, flags: Flags) -> pl.Series:
        """Return how long ago the last earlier event with a flag was; null if there is none."""
        before = self._cumulated(flags)[self.tie]
        times = np.append(self.time[self._flagged(flags)], 0)
        waited = pl.Series(self.time - times[before - 1])
        return waited.set(pl.Series(self.count(flags) == 0), None)

    def last(self, values: pl.Series, flags: Flags, length: int, rows: Integers) -> pl.Series:
        """Return lists, for some rows only, of the values of the last earlier events with a flag.

        The most recent value comes last; at most ``length`` are kept.
        """
        flagged = pl.Series(self._flagged(flags))
        before = self._cumulated(flags)
        end = before[self.tie[rows]]
        start = np.maximum(end - length, before[self.start[rows]])
        gathered = pl.element().map_batches(
            lambda places: values.gather(flagged.gather(places)),
            return_dtype=values.dtype,
            is_elementwise=True,
        )
        return pl.select(
            pl.int_ranges(pl.Series(start), pl.Series(end)).list.eval(gathered)
        ).to_series()

    def _cumulated(self, flags: Flags) -> Integers:
        return np.append(0, np.cumsum(flags[self.order.to_numpy()]))

    def _flagged(self, flags: Flags) -> Integers:
        order = self.order.to_numpy().astype(np.int64)
        return order[flags[order]]


def with_clicked_before(
    rows: pl.LazyFrame, sequences: Mapping[str, tuple[str, int]], raw: Path, scratch: Path
) -> pl.LazyFrame:
    """Add the histories of a log's users, and return its rows by partition of users, then time.

    ``rows`` has ``who``, ``time`` and ``click`` (1 where there is one). Each of ``sequences``
    lists the values of a field in its user's earlier clicks, the most recent last; those of the
    same time are left out, as their order is unknown, and a missing user has none. ``raw`` is the
    file that the rows are from: its size says how many partitions bound the memory. Intermediate
    files go to ``scratch``.
    """
    folder = temporary_folder(scratch)
    parts = by_hash(rows, pl.col("who"), 1 + raw.stat().st_size // PART_BYTES, folder / "by-user")
    remembered = partial(_remembered, sequences=sequences)
    schema = remembered(parts[0].clear().collect()).schema
    known = stored(
        lazy_from_frames(lambda: map_in_order(remembered, parts), schema), folder / "rows.parquet"
    )
    rmtree(folder / "by-user")
    return known


def _remembered(rows: pl.DataFrame, sequences: Mapping[str, tuple[str, int]]) -> pl.DataFrame:
    """Return the rows of some users by time, with their histories."""
    rows = rows.sort("time", maintain_order=True)
    past, everywhere = Past(rows, "who"), np.arange(len(rows))
    clicked = rows.select((pl.col("click") == 1) & pl.col("who").is_not_null())
    flags = clicked.to_series().to_numpy()
    return rows.with_columns(
        past.last(rows[field], flags, length, everywhere).alias(name)
        for name, (field, length) in sequences.items()
    )


def clicked_before(
    user: NDArray[Any], item: NDArray[np.int64], click: NDArray[np.bool_], length: int
) -> pl.Series:
    """Return per row the items of its user's last clicks in earlier rows, the most recent last.

    Rows are in time order; items are integers from 0 up; at most ``length`` are kept.
    """
    order = np.argsort(user, kind="stable")
    owner, clicked = user[order], click[order]
    before: NDArray[np.int64] = np.cumsum(clicked) - clicked  # in all rows above, of any user
    starts = np.append(True, owner[1:] != owner[:-1])
    own = np.maximum.accumulate(np.where(starts, before, 0))
    position = before[:, None] + np.arange(-length, 0)
    items = np.append(item[order][clicked], -1)[np.maximum(position, 0)]
    rows = np.empty_like(items)
    rows[order] = np.where(position >= own[:, None], items, -1)
    lists = pl.Series(rows, dtype=pl.Array(pl.Int64, length)).arr.to_list()
    return lists.list.eval(pl.element().filter(pl.element() >= 0))
