"""Tmall: actions by month and day, and users with an age and a gender."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from helpers.event_logs import DAY, Event, acts, clicks
from helpers.raw_logs import Row

START = round(datetime(2014, 9, 22, tzinfo=UTC).timestamp()) * 1000
CONTEXT = ("cat_id", "seller_id", "brand_id", "age_range", "gender")


def write(folder: Path) -> None:
    top = folder / "data_format1"
    top.mkdir(parents=True, exist_ok=True)
    log = ["user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type"]
    for act in acts(6, "0123", days=50, start=START, unit=DAY):
        date = datetime.fromtimestamp(act.time / 1000, UTC)
        item, brand = act.item, act.item % 4 or ""
        rest = f"{date.month}{date.day:02},{act.kind}"
        log.append(f"{act.who},{item},{item % 3},{item % 5},{brand},{rest}")
    (top / "user_log_format1.csv").write_text("\n".join(log) + "\n", encoding="utf-8")
    users = ["user_id,age_range,gender", *(f"{who},{who % 4 or ''},{who % 3}" for who in range(12))]
    (top / "user_info_format1.csv").write_text("\n".join(users) + "\n", encoding="utf-8")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def events(folder: Path) -> Iterator[Event]:
    top = folder / "data_format1"
    users = {row["user_id"]: row for row in table(top / "user_info_format1.csv")}
    for row in table(top / "user_log_format1.csv"):
        date = datetime(2014, int(row["time_stamp"][:-2]), int(row["time_stamp"][-2:]), tzinfo=UTC)
        known = row | users.get(row["user_id"], {})
        yield {
            "who": int(row["user_id"]),
            "item": int(row["item_id"]),
            "time": round(date.timestamp()) * 1000,
            "kind": row["action_type"],
            "click": row["action_type"] == "0",
            "macro": int(row["action_type"] in {"1", "3"}),
            "conversion": int(row["action_type"] == "2"),
            **{name: int(known[name]) if known.get(name) else None for name in CONTEXT},
        }


def read(folder: Path) -> Iterator[Row]:
    return clicks(list(events(folder)), ("macro", "conversion"), context=CONTEXT)
