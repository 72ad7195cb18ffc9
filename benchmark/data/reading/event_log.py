"""Logs of what users did to items, as clicks with what they led to and what was known before."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

import polars as pl

from benchmark.data.dataset import DataError, Dataset
from benchmark.data.fetching.archive import folder_of
from benchmark.data.options import History, Options, WindowDays
from benchmark.data.partitions import (
    by_hash,
    lazy_from_frames,
    map_in_order,
    stored,
    temporary_folder,
)
from benchmark.data.reading.attribution import attribute, split_by_time
from benchmark.data.reading.history import Past
from benchmark.data.reading.span import Span, span
from benchmark.schema import POST_CLICK

SECOND = 1000
DAY = 86_400 * SECOND
PART_BYTES, MOST_PARTS = 1 << 24, 256  # of the raw files, per hash partition
PACKED = 6  # bytes of text from one of a .gz
AT_ONCE = 1 << 16  # dropped events, which are counted
KEYS = ("who", "item", "time")
RAW = {"user_id": "who", "item_id": "item"}  # the events' names of features
Lost = list[tuple[str, int]]  # by which rule events are dropped, and how many


class EventOptions(Options):
    """The options of every log of events."""

    window_days: WindowDays = 7
    history: History = 20


class EventLog(Dataset):
    """A log of events without impressions: a row is a click, and every feature is from before it.

    A subclass sets the attributes below and implements :meth:`events`. What follows a click is
    told in :func:`benchmark.data.reading.attribution.attribute`; clicks whose window is not over
    when the log ends are dropped; splits follow each other (80/10/10). Events are processed in
    partitions by hash, a few at once: of 16 MiB of text each, as long as 256 are enough, which is
    up to 4 GiB. Beyond, they and the memory grow with the log: to 160 MiB of text each for 40 GiB.
    """

    context: tuple[str, ...] = ()  # categorical features of an event; histories list the first
    measured: tuple[str, ...] = ()  # numeric ones
    clock: tuple[str, ...] = ("hour", "weekday")  # what the log's times tell, in UTC
    ids: tuple[str, ...] = ("user_id", "item_id")  # those that occur again, and so are features
    period: tuple[int, int] | None = None  # times before the first and from the second on are wrong
    options: EventOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.window = round(self.options.window_days * DAY)
        self.attribution_window = self.window / SECOND
        self.labels = tuple(label for label in POST_CLICK if label in self.stages)
        self.categorical = (*self.ids, *self.context, *self.clock)
        self.numeric = (*self.measured, *(f"log_{name}" for name in self._measures()))
        if length := self.options.history:
            remembered = ({"item_id"} & {*self.ids}) | {*self.context[:1]}
            self.sequences = {f"recent_{name}": (name, length) for name in sorted(remembered)}

    @abstractmethod
    def events(self, raw: Path) -> pl.LazyFrame:
        """Return all events, in any order.

        Columns: ``who`` and ``item``; ``time`` (Int64, milliseconds since 1970 UTC); ``click``
        (Boolean: whether it is one); one Int8 column per label (1: it happened, -1: it was taken
        back, else 0); ``context`` and ``measured``. Events that are equal in all columns are
        duplicates, so whatever else tells two of them apart must be among the columns.
        """

    def parts(self, raw: Path) -> Mapping[str, pl.LazyFrame]:
        """Return the clicks of all partitions, in each by who, item and time; then what is dropped.

        Events that are no row of their own are dropped too where a rule says so: repeated ones,
        those of wrong times, and those in no row's window, which a repeated click does not prolong.
        """
        events, never = self.events(raw), Span(0, 0, SECOND)
        nothing = self._with_item_past(events.clear().collect(), never, [])
        schema = self._rows(nothing, never, []).schema
        return {"rows": lazy_from_frames(lambda: self._frames(events, raw, schema), schema)}

    def table(self, raw: Path) -> pl.LazyFrame:
        """Return what :meth:`parts` makes, from a file in the scratch folder."""
        folder = temporary_folder(self.scratch)
        rows = pl.concat(self.parts(raw).values())
        return self.finished(stored(rows, folder / "rows.parquet"))

    def finished(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """See :meth:`Dataset.finished`."""
        return split_by_time(rows, "click_time")

    def why_empty(self, raw: Path, counts: str) -> DataError:
        """See :meth:`Dataset.why_empty`."""
        whole = self._span([self.events(raw)], raw)
        return whole.too_short(self.title, self.window / SECOND, counts)

    def _frames(self, events: pl.LazyFrame, raw: Path, schema: pl.Schema) -> Iterator[pl.DataFrame]:
        """Yield the rows of the users of one partition after the other.

        First comes what is known of items, in partitions of these. The raw files are not read
        again for it after a kill.
        """
        lost: Lost = []
        scratch = temporary_folder(self.scratch)
        parts = partitions(raw)
        by_item = by_hash(events, pl.col("item"), parts, self.scratch / "by-item")
        whole = self._span(by_item, raw)
        known = partial(self._with_item_past, whole=whole, lost=lost)
        types = known(by_item[0].clear().collect()).schema
        by_who = by_hash(
            lazy_from_frames(lambda: map_in_order(known, by_item), types),
            pl.col("who"),
            parts,
            scratch / "by-who",
        )
        yield from map_in_order(partial(self._rows, whole=whole, lost=lost), by_who)
        yield from _dropped(lost, schema)
        rmtree(scratch)
        rmtree(self.scratch / "by-item")

    def _measures(self) -> tuple[str, ...]:
        """Return the names of the counts and waits that features are the logarithms of."""
        counts = [f"{kind}s" for kind in ("click", *self.labels)]
        of_item = [f"item_{count}" for count in counts]
        return (*of_item, *counts, "same_item_clicks", "seconds_since_click")

    def _span(self, events: Sequence[pl.LazyFrame], raw: Path) -> Span:
        """Return which times the log spans, whatever a few wild ones say."""
        times = pl.concat(events).select("time")
        if self.period is not None:
            times = times.filter(pl.col("time").is_between(*self.period, "left"))
        if (whole := span(times, self.window, SECOND)) is None:
            raise DataError(
                f"{self.title}: the files in {raw} hold no event at a time that the log spans; if "
                "they were cut off, get them again; if not, see that its times are in the unit of "
                "its layout"
            )
        whole.check_unit(self.title)
        return whole

    def _with_item_past(self, events: pl.DataFrame, whole: Span, lost: Lost) -> pl.DataFrame:
        """Add what anybody had done to the item before each event."""
        if any(events[key].has_nulls() for key in KEYS):
            raise DataError(f"{self.title}: an event lacks its user, item or time")
        inside = events
        if self.period is not None:
            inside = events.filter(pl.col("time").is_between(*self.period, "left"))
        near = inside.filter(whole.holds(pl.col("time")))
        distinct = near.unique(maintain_order=True)
        lost.append(("event at a time that the log does not span", len(events) - len(inside)))
        lost.append((whole.rule, len(inside) - len(near)))
        lost.append(("exact duplicate of another event", len(near) - len(distinct)))
        return distinct.with_columns(self._happened(Past(distinct, "item"), distinct, "item_"))

    def _happened(self, past: Past, events: pl.DataFrame, prefix: str = "") -> list[pl.Series]:
        return [
            pl.Series(f"{prefix}{kind}s", past.count(events[kind].to_numpy() > 0))
            for kind in ("click", *self.labels)
        ]

    def _rows(self, events: pl.DataFrame, whole: Span, lost: Lost) -> pl.DataFrame:
        """Return the rows of some users."""
        others = pl.struct(sorted({*events.columns} - {*KEYS}))
        events = events.sort(*KEYS, others.hash(seed=0))  # in whichever order they were read
        past, click = Past(events, "who"), events["click"].to_numpy()
        known = events.with_row_index("position").with_columns(
            *self._happened(past, events),
            pl.Series("same_item_clicks", Past(events, "who", "item").count(click)),
            (past.since(click) / SECOND).alias("seconds_since_click"),
        )
        attributed = attribute(known, self.labels, self.window)
        rows = attributed.rows.filter(pl.col("time") <= whole.last - self.window)
        cut = len(attributed.rows) - len(rows)
        lost.append(("click whose window the end of the log cuts off", cut))
        for label, unattributed in attributed.unattributed.items():
            lost.append((f"{label} outside the windows of all rows", unattributed))
        at = rows["position"].to_numpy()
        return rows.with_columns(
            past.last(events[RAW.get(field, field)], click, length, at).alias(name)
            for name, (field, length) in self.sequences.items()
        ).select(*self._features())

    def _features(self) -> list[pl.Expr]:
        """Return the columns of the table."""
        moment = pl.from_epoch("time", "ms")
        return [
            pl.col(*self.context, *self.measured, *self.sequences, *self.labels),
            *(pl.col(name).log1p().alias(f"log_{name}") for name in self._measures()),
            pl.col("who").alias("user_id"),
            pl.col("item").alias("item_id"),
            pl.col("who").alias("group"),
            moment.dt.hour().alias("hour"),
            moment.dt.weekday().alias("weekday"),
            (pl.col("time") / SECOND).alias("click_time"),
            pl.col("conversion_delay") / SECOND,
            pl.lit(None, pl.String).alias("dropped"),
        ]


def partitions(raw: Path) -> int:
    """Return into how many partitions the events of some raw files are cut."""
    return min(MOST_PARTS, 1 + sum(map(_size, raw.rglob("*"))) // PART_BYTES)


def given(*columns: str) -> dict[str, pl.Expr]:
    """Return the rules of a reader that say which columns no event may lack."""
    return {f"{column} must be given": pl.col(column).is_not_null() for column in columns}


def _dropped(lost: Lost, schema: pl.Schema) -> Iterator[pl.DataFrame]:
    """Yield a row per event lost, with nothing but the rule that drops it."""
    counts: Counter[str] = Counter()
    for rule, count in lost:
        counts[rule] += count
    for rule, count in sorted(counts.items()):
        for start in range(0, count, AT_ONCE):
            rows = pl.select(dropped=pl.repeat(rule, min(AT_ONCE, count - start)))
            yield pl.concat([schema.to_frame(), rows], how="diagonal")


def _size(path: Path) -> int:
    """Return about how many bytes of text a raw file has; an archive is unpacked beside itself."""
    if not path.is_file():
        return 0
    packed = path.suffix == ".gz" and folder_of(path) is None
    return path.stat().st_size * (PACKED if packed else 1)
