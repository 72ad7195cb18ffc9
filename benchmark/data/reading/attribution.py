"""From what users did to what their clicks led to: forward, within a window, to the last click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def split_by_time(
    rows: pl.LazyFrame, time: str, shares: Mapping[str, float] = SHARES
) -> pl.LazyFrame:
    """Add ``split``: the shares of the rows that have a ``time``, one after the other.

    Rows of equal time stay together, so every split starts later than the one before it ends; a
    row without a time has no split. Goes through ``rows`` once, at once, to find the cuts.
    """
    bounds = list(accumulate(shares.values()))[:-1]
    cuts = rows.select(
        pl.col(time).quantile(bound, "higher").alias(name)
        for name, bound in zip(list(shares)[1:], bounds, strict=True)
    ).collect()
    starts = {name: cut for name, cut in cuts.row(0, named=True).items() if cut is not None}
    return rows.with_columns(split=split_at(pl.col(time), starts, next(iter(shares))))


def split_at(time: pl.Expr, starts: Mapping[str, Any], first: str = "train") -> pl.Expr:
    """Return the split of each row: ``first``, then each of ``starts`` from its time on.

    The starts rise and are of the type of ``time``; a missing time has no split, and a split
    without a start no rows.
    """
    split: pl.Expr = pl.when(time.is_not_null()).then(pl.lit(first))
    for name, start in starts.items():
        reached = pl.lit(value=False) if start is None else time >= start
        split = pl.when(reached).then(pl.lit(name)).otherwise(split)
    return split


@dataclass(frozen=True)
class Attributed:
    """Clicks with what they led to, and per label how many events no click can have led to."""

    rows: pl.DataFrame
    unattributed: dict[str, int]


def attribute(events: pl.DataFrame, labels: Sequence[str], window: int) -> Attributed:
    """Return one row per click that opens a window, with what followed inside of it.

    ``events`` has ``who``, ``item``, ``time`` (integer), ``click`` (whether it is one), one
    integer column per label (1 where it happened, -1 where it was taken back, else 0) and any
    others. Of one ``who`` and ``item``, a click opens a row unless it lies in the window of the
    row before, which it then repeats. Windows hence never overlap, and an event belongs to the
    last row opened at or before it, if its window still lasts: events at the time of the click
    count, those ``window`` after it too. All others are unattributed.

    The rows are the opening events in the order of ``who``, ``item``, ``time``, with all their
    columns, the labels (Int8: whether it happened more often than it was taken back) and
    ``conversion_delay`` (null without a conversion).
    """
    events = events.sort("who", "item", "time", maintain_order=True)
    keys = _keys(events, window)
    clicks = np.flatnonzero(events["click"].to_numpy())
    opening = clicks[_openings(keys[clicks], window)]
    row, inside = _rows(keys, keys[opening], window)
    values = {label: events[label].to_numpy() for label in labels}
    happened = {
        label: np.bincount(row[inside], value[inside], len(opening)) > 0
        for label, value in values.items()
    }
    converts = inside & (values["conversion"] > 0)
    delay = np.full(len(opening), -1)
    first, at = np.unique(row[converts], return_index=True)
    delay[first] = (keys[converts] - keys[opening][row[converts]])[at]
    rows = events[opening].with_columns(
        *(pl.Series(label, flags.astype(np.int8)) for label, flags in happened.items()),
        conversion_delay=pl.Series(delay).replace(-1, None),
    )
    return Attributed(rows, {label: int((~inside & (v > 0)).sum()) for label, v in values.items()})


def _keys(events: pl.DataFrame, window: int) -> Integers:
    """Return times on one line, on which those of another pair lie further away than a window.

    A gap longer than a window is cut to one just as useless, so that a wild time, of the year 9999,
    does not make the line longer than an integer may be.
    """
    pairs = events.select(pl.struct("who", "item").rle_id()).to_series().cast(pl.Int64).to_numpy()
    time = events["time"].to_numpy().astype(np.int64)
    gaps = np.diff(time, prepend=time[:1])
    return np.cumsum(
        np.where(np.diff(pairs, prepend=pairs[:1]), window + 1, gaps.clip(max=window + 1))
    )


def _openings(clicks: Integers, window: int) -> Flags:
    """Return which clicks open a row: each one that is in no window of those that do.

    Starts from all first clicks at once and goes from window to window, until none is left.
    """
    following = np.searchsorted(clicks, clicks + window, side="right")
    opens = np.append(True, np.diff(clicks) > window)[: len(clicks)]
    frontier = np.flatnonzero(opens)
    while len(frontier):
        frontier = following[frontier]
        frontier = frontier[frontier < len(clicks)]
        frontier = frontier[~opens[frontier]]
        opens[frontier] = True
    return opens


def _rows(keys: Integers, opening: Integers, window: int) -> tuple[Integers, Flags]:
    """Return the last row opened at or before each event, and whether its window still lasts."""
    row = np.searchsorted(opening, keys, side="right") - 1
    inside = row >= 0
    inside[inside] = keys[inside] - opening[row[inside]] <= window
    return row, inside
