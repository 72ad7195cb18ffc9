"""A slow reading of event logs, in plain Python, for the fast one to be compared with."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from math import ceil, log1p
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from polars.testing import assert_frame_equal

from benchmark.data.dataset import Dataset, kept

Event = dict[str, Any]
Row = dict[str, Any]
DAY = 86_400_000
KEY = ["user_id", "item_id", "click_time"]


class Act(NamedTuple):
    """What somebody does to an item, at a time in milliseconds."""

    who: int
    item: int
    time: int
    kind: str


def acts(seed: int, kinds: Sequence[str], *, days: float, start: int, unit: int) -> list[Act]:
    """Return a shuffled log of hand: clicks (the first kind), what follows, and what does not.

    Times are multiples of ``unit``, so that some coincide; some acts are there twice.
    """
    rng = random.Random(seed)
    log = []
    for _ in range(120):
        who, item = rng.randint(1, 12), rng.randint(101, 115)
        time = rng.random() * days * DAY
        for _ in range(rng.choice([1, 1, 2, 4])):
            kind = rng.choice([kinds[0], kinds[0], *kinds])
            log.append(Act(who, item, start + int(time / unit) * unit, kind))
            time = min(time + rng.choice([0, unit, rng.randint(1, DAY), 6 * DAY]), days * DAY)
    log += rng.sample(log, 9)
    rng.shuffle(log)
    return log


def attributed(
    events: Sequence[Event], labels: Sequence[str], window: int
) -> Iterator[tuple[Event, Row]]:
    """Yield each click that opens a row, and its labels and delay.

    ``events`` are in time order. Goes through the events one by one, as they came in.
    """
    opened: dict[tuple[Any, Any], list[tuple[Event, list[Event]]]] = {}
    for event in sorted(events, key=lambda event: (event["time"], not event["click"])):
        rows = opened.setdefault((event["who"], event["item"]), [])
        if event["click"] and not (rows and event["time"] <= rows[-1][0]["time"] + window):
            rows.append((event, []))
        if rows and event["time"] <= rows[-1][0]["time"] + window:
            rows[-1][1].append(event)
    for rows in opened.values():
        for click, followed in rows:
            found: Row = {label: int(sum(e[label] for e in followed) > 0) for label in labels}
            buys = [e["time"] - click["time"] for e in followed if e["conversion"] > 0]
            yield click, found | {"conversion_delay": min(buys, default=None)}


def clicks(
    events: list[Event],
    labels: Sequence[str],
    *,
    context: Sequence[str] = (),
    measured: Sequence[str] = (),
    window_days: float = 7,
    period: tuple[int, int] | None = None,
) -> Iterator[Row]:
    """Yield the rows that an event log must have, with all that can be known of them."""
    distinct = [event for number, event in enumerate(events) if event not in events[:number]]
    if period:
        distinct = [event for event in distinct if period[0] <= event["time"] < period[1]]
    distinct.sort(key=lambda event: (event["time"], event["item"], *map(str, event.values())))
    window, end = round(window_days * DAY), distinct[-1]["time"]
    rows = [
        (click, found)
        for click, found in attributed(distinct, labels, window)
        if click["time"] <= end - window
    ]
    times = sorted(click["time"] for click, _ in rows)
    cuts = [times[ceil((len(times) - 1) * share)] for share in (0.8, 0.8 + 0.1)]
    for click, found in rows:
        delay = found.pop("conversion_delay")
        moment = datetime.fromtimestamp(click["time"] / 1000, UTC)
        yield {
            "user_id": click["who"],
            "item_id": click["item"],
            "group": click["who"],
            "split": ("train", "valid", "test")[sum(click["time"] >= cut for cut in cuts)],
            "click_time": click["time"] / 1000,
            "conversion_delay": None if delay is None else delay / 1000,
            "hour": moment.hour,
            "weekday": moment.isoweekday(),
            **{name: click[name] for name in (*context, *measured)},
            **found,
            **past(click, distinct, labels, context[:1]),
        }


def past(click: Event, events: list[Event], labels: Sequence[str], context: Sequence[str]) -> Row:
    """Return what was known before a click."""
    earlier = [event for event in events if event["time"] < click["time"]]
    own = [event for event in earlier if event["who"] == click["who"]]
    same = [event for event in earlier if event["item"] == click["item"]]
    viewed = [event for event in own if event["click"]]
    row: Row = {}
    for kind in ("click", *labels):
        row[f"log_{kind}s"] = log1p(sum(event[kind] > 0 for event in own))
        row[f"log_item_{kind}s"] = log1p(sum(event[kind] > 0 for event in same))
    row["log_same_item_clicks"] = log1p(sum(e["item"] == click["item"] for e in viewed))
    waited = (click["time"] - viewed[-1]["time"]) / 1000 if viewed else None
    row["log_seconds_since_click"] = None if waited is None else log1p(waited)
    for name, key in (("item_id", "item"), *((name, name) for name in context)):
        row[f"recent_{name}"] = [event[key] for event in viewed[-20:]]
    return row


def dropped(table: pl.LazyFrame) -> dict[str, int]:
    counts = table.collect()["dropped"].drop_nulls().value_counts()
    return dict(counts.iter_rows())


def same_clicks(dataset: Dataset, raw: Path, reader: Callable[[Path], Iterator[Row]]) -> None:
    """Compare the clicks with a slow reader's, where only their times tell some apart."""
    slow = pl.DataFrame(list(reader(raw)), infer_schema_length=None)
    fast = kept(dataset.table(raw)).select(slow.columns).cast(dict(slow.schema)).collect()
    assert_frame_equal(fast.sort(KEY), slow.sort(KEY))
