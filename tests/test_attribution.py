"""What users did leads back to the right click, at the right time, and never to the future."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from helpers.event_logs import Event, attributed

from benchmark.data.reading.attribution import attribute, split_at, split_by_time
from benchmark.data.reading.history import Past

LABELS = ("macro", "conversion")
TYPES = dict.fromkeys(("who", "item", "time"), pl.Int64) | {
    "click": pl.Boolean, "macro": pl.Int8, "conversion": pl.Int8,
}  # fmt: skip


def random_log(seed: int, events: int = 120) -> list[Event]:
    """Return a log with many ties, repeated clicks and purchases that nothing explains."""
    rng = random.Random(seed)
    log = []
    for _ in range(rng.randint(0, events)):
        kind = rng.choice(["click", "click", "macro", "taken back", "conversion"])
        event = {"who": rng.randint(1, 4), "item": rng.randint(1, 3), "time": rng.randint(0, 60)}
        event |= {"click": kind == "click", "conversion": int(kind == "conversion")}
        log.append(event | {"macro": {"macro": 1, "taken back": -1}.get(kind, 0)})
    return log


def frame(log: list[Event]) -> pl.DataFrame:
    return pl.DataFrame(log, schema=TYPES)


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("window", [0, 1, 7, 100])
def test_random_logs_are_attributed_as_event_by_event(seed: int, window: int) -> None:
    log = random_log(seed)
    found = attribute(frame(log), LABELS, window)
    key = ("who", "item", "time")
    slow = [
        {name: click[name] for name in key} | row for click, row in attributed(log, LABELS, window)
    ]
    slow.sort(key=lambda row: [row[name] for name in key])
    assert found.rows.select(*key, *LABELS, "conversion_delay").to_dicts() == slow
    inside = {
        label: sum(
            any(
                (row["who"], row["item"]) == (event["who"], event["item"])
                and 0 <= event["time"] - row["time"] <= window
                for row in slow
            )
            for event in log
            if event[label] > 0
        )
        for label in LABELS
    }
    for label in LABELS:
        assert found.unattributed[label] == sum(event[label] > 0 for event in log) - inside[label]


@pytest.mark.parametrize("wild", [-62_135_596_800_000, 253_402_300_799_000])  # years 1 and 9999
def test_one_wild_time_among_many_pairs_changes_no_other(wild: int) -> None:
    pairs = [{"who": who, "item": 1, "click": True, "macro": 0} for who in range(200_000)]
    log = [pair | {"time": 5, "conversion": who % 2} for who, pair in enumerate(pairs)]
    found = attribute(frame([*log, log[0] | {"time": wild, "click": False}]), LABELS, 7)
    assert found.rows.equals(attribute(frame(log), LABELS, 7).rows)
    assert found.rows["conversion"].to_list() == [0, 1] * 100_000


def one(*events: tuple[int, str]) -> pl.DataFrame:
    """Return what one user did to one item, in days."""
    return frame(
        [
            {
                "who": 1, "item": 1, "time": time, "click": kind == "view",
                "macro": {"cart": 1, "uncart": -1}.get(kind, 0), "conversion": int(kind == "buy"),
            }
            for time, kind in events
        ]
    )  # fmt: skip


def labels(*events: tuple[int, str]) -> list[tuple[int, int, int, int | None]]:
    rows = attribute(one(*events), LABELS, 7).rows
    return rows.select("time", "macro", "conversion", "conversion_delay").rows()


def test_what_comes_before_the_click_or_after_the_window_is_not_its_doing() -> None:
    assert labels((1, "buy"), (2, "view"), (10, "buy")) == [(2, 0, 0, None)]
    assert labels((2, "view"), (9, "buy")) == [(2, 0, 1, 7)]
    assert labels((2, "buy"), (2, "view")) == [(2, 0, 1, 0)]


def test_a_repeated_click_opens_no_row_until_the_window_is_over() -> None:
    assert labels((1, "view"), (8, "view"), (9, "buy")) == [(1, 0, 0, None)]
    assert labels((1, "view"), (8, "view"), (9, "view"), (10, "buy")) == [
        (1, 0, 0, None), (9, 0, 1, 1),
    ]  # fmt: skip


def test_a_purchase_belongs_to_one_click_and_its_first_one_tells_the_delay() -> None:
    assert labels((1, "view"), (3, "buy"), (5, "buy"), (20, "view"), (21, "cart")) == [
        (1, 0, 1, 2), (20, 1, 0, None),
    ]  # fmt: skip


def test_what_was_taken_back_did_not_happen() -> None:
    assert labels((1, "view"), (2, "cart"), (3, "uncart")) == [(1, 0, 0, None)]
    assert labels((1, "view"), (2, "cart"), (2, "cart"), (3, "uncart")) == [(1, 1, 0, None)]


def test_no_events_and_no_clicks_give_no_rows() -> None:
    for log in (one(), one((1, "buy"))):
        found = attribute(log, LABELS, 7)
        assert found.rows.is_empty()
        assert found.rows.schema["conversion_delay"] == pl.Int64
    assert found.unattributed == {"macro": 0, "conversion": 1}


# --- splits


@pytest.mark.parametrize("seed", range(8))
def test_splits_follow_each_other_in_their_shares(seed: int) -> None:
    rng, last = random.Random(seed), 10 ** (1 + seed % 6)  # many ties in some, few in others
    times = [rng.randint(0, last) for _ in range(200)]
    rows = pl.LazyFrame({"time": [*times, None]})
    found = split_by_time(rows, "time").collect()
    assert found["split"][-1] is None
    parts = [found.filter(split=split)["time"] for split in ("train", "valid", "test")]
    for earlier, later in pairwise(parts):
        if len(earlier) and len(later):
            assert earlier.max() < later.min()  # type: ignore[operator]
    if len(set(times)) > 195:
        assert [len(part) for part in parts] == pytest.approx([160, 20, 20], abs=3)


def test_splits_start_at_given_times() -> None:
    days = pl.DataFrame({"day": [3, None, 5, 6, 8, 9]})
    split = split_at(pl.col("day"), {"valid": 5, "test": 8})
    assert days.select(split).to_series().to_list() == [
        "train", None, "valid", "valid", "test", "test",
    ]  # fmt: skip


# --- the past


@pytest.mark.parametrize("seed", range(10))
def test_the_past_is_strictly_earlier_and_of_the_same_key(seed: int) -> None:
    log = random_log(seed)
    events = frame(log)
    click = events["click"].to_numpy()
    for key in (("who",), ("who", "item")):
        past = Past(events, *key)
        rows = np.arange(len(log))[::2]
        lists = past.last(events["item"], click, 3, rows).to_list()
        counts, waits = past.count(click).tolist(), past.since(click).to_list()
        for number, event in enumerate(log):
            earlier = [
                other
                for other in sorted(log, key=lambda other: other["time"])
                if all(other[name] == event[name] for name in key)
                and other["time"] < event["time"]
                and other["click"]
            ]
            assert counts[number] == len(earlier)
            wait = event["time"] - earlier[-1]["time"] if earlier else None
            assert waits[number] == wait
            if number % 2 == 0:
                assert lists[number // 2] == [other["item"] for other in earlier[-3:]]
