"""Which times a log spans, where a few events may stand at wild ones, of 1970 or 2099."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl

from benchmark.data.dataset import DataError
from benchmark.data.reading.epoch import EARLIEST, LATEST

RARE = 0.01  # of the events, before the start and after the end
REACH = 0.1  # of the time that all others span
LONGEST = 10 * 365 * 86_400  # seconds of a log; one whose times are dated may be longer
UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))


class Span(NamedTuple):
    """The first and the last time of a log, in its unit, of which ``second`` are one.

    ``dated`` tells whether the times count from 1970 in UTC.
    """

    first: int
    last: int
    second: int = 1
    dated: bool = True

    def holds(self, time: pl.Expr) -> pl.Expr:
        """Return whether a time is inside."""
        return time.is_between(self.first, self.last)

    @property
    def rule(self) -> str:
        """By which rule an event outside is dropped."""
        return f"event far before or after all others, which are from {self}"

    def check_unit(self, title: str) -> None:
        """Check that the times can be in the unit in which they are read.

        Raises:
            DataError: they would be of years that no log is from, or of more years than one lasts.
        """
        if self.dated:
            likely = EARLIEST * self.second <= self.first <= self.last < LATEST * self.second
        else:
            likely = self.last - self.first <= LONGEST * self.second
        if not likely:
            unit = {1: "seconds", 1000: "milliseconds"}[self.second]
            raise DataError(
                f"{title}: times must be {unit}{' since 1970' if self.dated else ''}, but those of "
                f"the log are {self.first} to {self.last}; see that it is in the published layout"
            )

    def too_short(self, title: str, window: float, counts: str = "") -> DataError:
        """Return the error that a window, in seconds, is cut off after every row."""
        lasts = _lasting((self.last - self.first) / self.second)
        return DataError(
            f"{title}: no row is left, since the log ends before the window in which conversions "
            f"count is over for any of them: it spans {lasts}, from {self}, and the window is "
            f"{_lasting(window)}{counts and f' ({counts})'}; lower the option window_days, get "
            "more of the log, or see that its times are in the unit of its layout"
        )

    def __str__(self) -> str:
        return " to ".join(self._told(time) for time in (self.first, self.last))

    def _told(self, time: int) -> str:
        if self.dated:
            try:
                return f"{datetime.fromtimestamp(time / self.second, UTC):%Y-%m-%d %H:%M:%S}"
            except (ValueError, OverflowError, OSError):  # of no year that has four digits
                pass
        return f"{time / self.second:,.0f}"


def span(times: pl.LazyFrame, gap: float, second: int = 1, *, dated: bool = True) -> Span | None:
    """Return which times a log spans; None if it has none.

    ``times`` has one integer column. Of the outermost percent of the events at either end, those
    are outside that a silence parts from all others, if it is longer than ``gap`` and than a tenth
    of what the rest spans; so in a log of fewer than 100 events none is. Memory holds a few numbers
    per stretch of ``gap`` in which something happened.
    """
    time, width = pl.first(), max(1, round(gap))
    stretches = times.drop_nulls().select(time.alias("time")).group_by(pl.col("time") // width)
    known = (
        stretches.agg(pl.len(), first=time.min(), last=time.max())
        .sort("time")
        .collect(engine="streaming")
    )
    if known.is_empty():
        return None
    counts, first, last = (known[name].to_list() for name in ("len", "first", "last"))
    low, high = _after_few(counts), len(counts) - 1 - _after_few(counts[::-1])
    silence = max(width, REACH * (last[high] - first[low]))
    while low > 0 and first[low] - last[low - 1] <= silence:
        low -= 1
    while high < len(counts) - 1 and first[high + 1] - last[high] <= silence:
        high += 1
    return Span(first[low], last[high], second, dated)


def _after_few(counts: list[int]) -> int:
    """Return the first place up to which there are more than a few events."""
    reached, few = 0, RARE * sum(counts)
    for index, count in enumerate(counts):
        reached += count
        if reached > few:
            return index
    return 0


def _lasting(seconds: float) -> str:
    name, size = next((unit for unit in UNITS if seconds >= 2 * unit[1]), UNITS[-1])
    return f"{seconds / size:,.3g} {name}"
