"""MerRec: shards of events, with codes of the listing and its price, as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from math import log
from pathlib import Path

import polars as pl
from helpers.event_logs import Act, Event, acts, clicks
from helpers.raw_logs import Row

CODES = (
    "product_id", "c0_id", "c1_id", "c2_id", "brand_id", "item_condition_id", "size_id",
    "shipper_id", "color",
)  # fmt: skip
KINDS = (
    "item_view", "item_like", "item_add_to_cart_tap", "offer_make", "buy_start", "buy_comp",
)  # fmt: skip
START = 1_682_899_200_000


def event(act: Act) -> Row:
    item = act.item
    return {
        "user_id": act.who, "sequence_id": 1, "session_id": 1, "item_id": item,
        "stime": datetime.fromtimestamp(act.time / 1000, UTC), "event_id": act.kind,
        "name": "<<name>>", "price": item % 3 * 4.5, "product_id": item % 7, "c0_id": item % 2,
        "c1_id": item % 3, "c2_id": item % 4, "brand_id": item % 5 or None,
        "item_condition_id": 1, "size_id": None, "shipper_id": 2, "color": "red",
    }  # fmt: skip


def write(folder: Path, files: tuple[str, ...] = ("20230501-000000000000.parquet",)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = acts(7, KINDS, days=30, start=START, unit=1000)
    for number, name in enumerate(files):
        rows = [event(act) for act in log[number :: len(files)]]
        frame = pl.DataFrame(rows, schema_overrides={"size_id": pl.Int64})
        frame.write_parquet(folder / name)


def events(folder: Path) -> Iterator[Event]:
    for path in folder.glob("*.parquet"):
        for row in pl.read_parquet(path).to_dicts():
            yield {
                "who": row["user_id"],
                "item": row["item_id"],
                "time": round(row["stime"].timestamp() * 1000),
                "kind": row["event_id"],
                "click": row["event_id"] == "item_view",
                "macro": int(row["event_id"] in KINDS[1:-1]),
                "conversion": int(row["event_id"] == "buy_comp"),
                **{code: None if row[code] is None else str(row[code]) for code in CODES},
                "log_price": log(row["price"]) if row["price"] > 0 else None,
            }


def read(folder: Path) -> Iterator[Row]:
    rows = clicks(
        list(events(folder)),
        ("macro", "conversion"),
        context=CODES,
        measured=("log_price",),
        window_days=3,
    )
    for row in rows:
        del row["recent_item_id"]  # a listing sells once: its id is no feature
        yield row
