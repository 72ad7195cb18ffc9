"""REES46: months of events with their product's category, brand and price, compressed or not."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import log
from pathlib import Path

from helpers.event_logs import Act, Event, acts, clicks
from helpers.raw_logs import Row

HEADER = (
    "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
)
KINDS = ("view", "cart", "remove_from_cart", "purchase")
CONTEXT = ("category_id", "category_code", "brand")
START = 1_600_905_600_000


def line(act: Act) -> str:
    moment = datetime.fromtimestamp(act.time / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    code = ("", "computers.notebook", "audio")[act.item % 3]
    brand, price = ("", "asus")[act.item % 2], act.item % 5 * 1.5
    group = 2_103_807_459_595_387_724 + act.item % 4
    return f"{moment},{act.kind},{act.item},{group},{code},{brand},{price},{act.who},s{act.who}"


def write(folder: Path, files: Sequence[str] = ("electronics-events.csv.gz",)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = acts(2, KINDS, days=50, start=START, unit=1000)
    for number, name in enumerate(files):
        lines = [HEADER, *map(line, log[number :: len(files)])]
        text = ("\n".join(lines) + "\n").encode()
        (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)


def events(folder: Path) -> Iterator[Event]:
    for path in folder.iterdir():
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        for row in csv.DictReader(text.splitlines()):
            moment = datetime.strptime(row["event_time"], "%Y-%m-%d %H:%M:%S %Z")
            kind, price = row["event_type"], float(row["price"])
            yield {
                "who": int(row["user_id"]),
                "item": int(row["product_id"]),
                "time": round(moment.replace(tzinfo=UTC).timestamp()) * 1000,
                "click": kind == "view",
                "macro": {"cart": 1, "remove_from_cart": -1}.get(kind, 0),
                "conversion": int(kind == "purchase"),
                "category_id": int(row["category_id"]),
                "category_code": row["category_code"] or None,
                "brand": row["brand"] or None,
                "log_price": log(price) if price > 0 else None,
                "session": row["user_session"],
            }


def read(folder: Path, window_days: float = 7) -> Iterator[Row]:
    return clicks(
        list(events(folder)),
        ("macro", "conversion"),
        context=CONTEXT,
        measured=("log_price",),
        window_days=window_days,
    )
