"""What was known before each event of a log: counts, waiting times and histories of its key."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


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
        found = pl.element().map_batches(
            lambda places: values.gather(flagged.gather(places)),
            return_dtype=values.dtype,
            is_elementwise=True,
        )
        return pl.select(
            pl.int_ranges(pl.Series(start), pl.Series(end)).list.eval(found)
        ).to_series()

    def _cumulated(self, flags: Flags) -> Integers:
        return np.append(0, np.cumsum(flags[self.order.to_numpy()]))

    def _flagged(self, flags: Flags) -> Integers:
        order = self.order.to_numpy().astype(np.int64)
        return order[flags[order]]
