"""KuaiLive: live rooms shown to users, entered, commented on or liked, and paid for by gifts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.partitions import (
    by_hash,
    lazy_from_frames,
    map_in_order,
    stored,
    temporary_folder,
)
from benchmark.data.reading.epoch import LATEST
from benchmark.data.reading.layouts import Types
from benchmark.dataset import (
    Dataset,
    History,
    Options,
    Source,
    Span,
    WindowDays,
    find,
    scan_table,
    span,
    split_by_time,
    unique,
    with_clicked_before,
)

SECOND = 1000
DAY = 86_400 * SECOND
IMPRESSIONS = {"click": 1, "negative": 0}
REACTIONS = {"comment": "micro", "like": "micro", "gift": "conversion"}
PERSON = ("gender", "age", "country", "device_brand", "device_price")
STREAMER = (*PERSON, "live_operation_tag")
ROOM = ("live_type", "live_content_category")
EVENT: Types = dict.fromkeys(("user_id", "live_id", "streamer_id", "timestamp"), pl.Int64)
LIVE: Types = {
    **dict.fromkeys(("p_date", "live_id", "start_timestamp"), pl.Int64),
    **dict.fromkeys(ROOM, pl.String),
}
TWICE = "impression of a room at the same time as another one of it to the same user"
UNLED = "{} in a room that its user had not entered within the window before"
CUT_OFF = "impression whose window the end of the log cuts off"
PART_BYTES = 1 << 26


class KuaiLiveOptions(Options):
    """The options of KuaiLive."""

    window_days: WindowDays = 1
    history: History = 20


class KuaiLive(Dataset):
    """Each row is a live room that a user was shown; who enters it may comment, like or give.

    Evidence: files, columns and an example of each value are those of the publisher's page, and a
    public reader of the files prints the same; it counts 4,909,515 clicks, 12,705,835 impressions
    without one and 72,646 gifts. It also counts more rows of rooms than there are rooms, so we take
    a room to be listed once per day that it lasts. No row was at hand, and no checksum is
    published where we could read it.
    """

    title = "KuaiLive (gifts in live rooms)"
    cite = "qu2025kuailive"
    licence = "CC BY-NC-SA 4.0"
    claims = (
        "Impression, click and gift are logged, so methods for the entire space apply. A row is a "
        "live room that was shown to a user; 'click' is entering it, micro a comment or a like "
        "there, conversion a gift, which users pay for. Each counts if it follows at or after the "
        "click within the window (option window_days, 1) and before the user enters the same room "
        "again; others are dropped and counted. Users were chosen who clicked, commented, liked "
        "and gave in the three weeks of the log: rates are not those of the traffic, and the "
        "presence of a user shows that a gift comes at some time. Whether all impressions without "
        "a click were published is not stated. Impressions whose window outlasts the log are "
        "dropped. What "
        "is a snapshot of the log's last day (numbers of fans, of rooms watched and the like), "
        "features without a meaning (onehot_feat), the end of a room, the time watched and the "
        "price of gifts are no features. A room is live once, so its id is no feature; its "
        "streamer is. The publisher shifted and rounded all times: hour and weekday have an "
        "unknown offset. Splits follow each other in time (80/10/10), so users occur in several. "
        "Nothing was shown at random, so no metric here is unbiased for what would have happened "
        "without a click."
    )
    stages = ("impression", "click", "micro", "conversion")
    categorical = (
        "user_id", *PERSON, "streamer_id", *(f"streamer_{name}" for name in STREAMER), *ROOM,
        "hour", "weekday",
    )  # fmt: skip
    numeric = ("log_minutes_live",)
    min_count = 5
    sources = (
        Source(
            file="KuaiLive.zip",
            page="https://imgkkk574.github.io/KuaiLive",
            url="https://zenodo.org/records/16565801/files/KuaiLive.zip",
        ),
    )
    options: KuaiLiveOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.window = round(self.options.window_days * DAY)
        self.attribution_window = self.window / SECOND
        if length := self.options.history:
            self.sequences = {"entered_streamers": ("streamer_id", length)}

    def table(self, raw: Path) -> pl.LazyFrame:
        rows = split_by_time(self._impressions(raw), "whole")
        for kind, key, prefix, attributes in (
            ("user", "user_id", "", PERSON),
            ("streamer", "streamer_id", "streamer_", STREAMER),
        ):
            known = _about(find(raw, f"{kind}.csv"), key, attributes)
            names = {name: f"{prefix}{name}" for name in attributes}
            rows = rows.join(known.rename(names), on=key, how="left", maintain_order="left")
        return rows

    def _impressions(self, raw: Path) -> pl.LazyFrame:
        """Return the impressions with their labels, by partition of rooms."""
        paths = {kind: find(raw, f"{kind}.csv") for kind in (*IMPRESSIONS, *REACTIONS)}
        shown = pl.concat(_events(paths[kind], click=value) for kind, value in IMPRESSIONS.items())
        done = pl.concat(_events(paths[kind], kind=kind) for kind in REACTIONS)
        scratch = temporary_folder(self.scratch)
        past = with_clicked_before(
            shown.with_columns(who="user_id"), self.sequences, paths["negative"], scratch
        )
        parts = 1 + sum(path.stat().st_size for path in paths.values()) // PART_BYTES
        tables = {"shown": past, "done": done, "rooms": _rooms(find(raw, "room.csv"))}
        cut = [
            by_hash(table, pl.col("live_id"), parts, scratch / f"{name}-by-room")
            for name, table in tables.items()
        ]
        times = pl.concat(part.select("time") for part in (*cut[0], *cut[1]))
        log = span(times, self.window, SECOND) or Span(0, 0, SECOND)
        log.check_unit(self.title)
        if log.last - log.first <= self.window:
            raise log.too_short(self.title, self.window / SECOND)
        labelled = partial(_rows, log=log, window=self.window)
        schema = labelled(*(parts[0].clear().collect() for parts in cut)).schema
        rows = lazy_from_frames(lambda: map_in_order(labelled, *cut), schema)
        return stored(rows, scratch / "labelled.parquet")


def _events(path: Path, **facts: int | str) -> pl.LazyFrame:
    """Scan what users did, or did not do, in rooms at a time."""
    types, rules = EVENT, {f"{n} must be an integer from 0 up": pl.col(n) >= 0 for n in EVENT}
    if facts.get("kind") == "gift":
        types = {**types, "gift_price": pl.Int64}
        rules |= {"gift_price must be an integer from 1 up": pl.col("gift_price") > 0}
    return scan_table(path, types, rules=rules).select(
        "user_id",
        "live_id",
        "streamer_id",
        *(pl.lit(value).cast(pl.Int8 if name == "click" else pl.String).alias(name)
          for name, value in facts.items()),
        time="timestamp",
    )  # fmt: skip


def _rooms(path: Path) -> pl.LazyFrame:
    start = pl.col("start_timestamp").fill_null(0)
    rules = {
        **{f"{n} must be an integer from 0 up": pl.col(n) >= 0 for n in ("p_date", "live_id")},
        "start_timestamp must be milliseconds since 1970, or none": (start <= 0)
        | (start >= LATEST),
    }
    return scan_table(path, LIVE, rules=rules)


def _about(path: Path, key: str, attributes: tuple[str, ...]) -> pl.LazyFrame:
    """Scan what is known of users or streamers, each there once."""
    types = {key: pl.Int64, **dict.fromkeys(attributes, pl.String)}
    return unique(
        scan_table(path, types, rules={f"{key} must be given": pl.col(key) >= 0}), key, path
    )


def _rows(
    shown: pl.DataFrame, done: pl.DataFrame, rooms: pl.DataFrame, *, log: Span, window: int
) -> pl.DataFrame:
    """Return the impressions of some rooms, and a row per impression or reaction that is none."""
    key, cell = ("user_id", "live_id", "time"), ["user_id", "live_id"]
    distinct = shown.sort("click", descending=True, maintain_order=True).unique(
        key, keep="first", maintain_order=True
    )
    entered = distinct.filter(click=1).select(*cell, "time", entered="time").sort("time")
    last = done.sort("time", maintain_order=True).join_asof(
        entered, on="time", by=cell, check_sortedness=False
    )
    waited = last.with_columns(waited=pl.col("time") - pl.col("entered"))
    led = waited.filter(pl.col("waited") <= window)
    outcomes = led.group_by(*cell, "entered").agg(
        *(pl.col("kind").replace_strict(REACTIONS).eq(label).any().alias(label)
          for label in ("micro", "conversion")),
        conversion_delay=pl.col("waited").filter(kind="gift").min() / SECOND,
    )  # fmt: skip
    first = rooms.sort("p_date").unique("live_id", keep="first", maintain_order=True)
    rows = distinct.join(
        outcomes, left_on=key, right_on=(*cell, "entered"), how="left", maintain_order="left"
    ).join(first.drop("p_date"), on="live_id", how="left", maintain_order="left")
    lost = {TWICE: len(shown) - len(distinct)} | {
        UNLED.format(kind): len(done.filter(kind=kind)) - len(led.filter(kind=kind))
        for kind in REACTIONS
    }
    dropped = [pl.select(dropped=pl.repeat(rule, count)) for rule, count in lost.items()]
    return pl.concat([_with_labels(rows, log, window), *dropped], how="diagonal")


def _with_labels(rows: pl.DataFrame, log: Span, window: int) -> pl.DataFrame:
    """Return impressions with labels, times and hour and weekday; whole where they stay."""
    time, clicked = pl.col("time"), pl.when(click=1)
    inside, over = log.holds(time), time + window <= log.last
    start, moment = pl.col("start_timestamp"), pl.from_epoch(time, "ms")
    minutes = pl.when(start > 0).then(time - start) / (60 * SECOND)
    return rows.with_columns(
        *(clicked.then(pl.col(label).fill_null(value=False)).cast(pl.Int8).alias(label)
          for label in ("micro", "conversion")),
        group="user_id",
        click_time=clicked.then(time / SECOND),
        whole=pl.when(inside & over).then(time),
        hour=moment.dt.hour(),
        weekday=moment.dt.weekday(),
        log_minutes_live=pl.when(minutes >= 0).then(minutes.log1p()),
        dropped=pl.when(~inside).then(pl.lit(log.rule)).when(~over).then(pl.lit(CUT_OFF)),
    )  # fmt: skip
