"""Retailrocket: events, properties of items since a time, in two parts, a tree of categories."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from helpers.event_logs import Event, acts, clicks
from helpers.raw_logs import Row

START = 1_433_221_332_117
KINDS = ("view", "addtocart", "transaction")
CONTEXT = ("category", "parent_category")


def write(folder: Path) -> None:
    rng = random.Random(5)
    folder.mkdir(parents=True, exist_ok=True)
    events = ["timestamp,visitorid,event,itemid,transactionid"]
    for act in acts(1, KINDS, days=50, start=START, unit=1):
        order = act.time % 1000 if act.kind == "transaction" else ""
        events.append(f"{act.time},{act.who},{act.kind},{act.item},{order}")
    (folder / "events.csv").write_text("\n".join(events) + "\n", encoding="utf-8")
    for part in (1, 2):
        lines = ["timestamp,itemid,property,value"]
        for _ in range(60):
            time, item = START + rng.randint(-5, 45) * 86_400_000, rng.randint(101, 114)
            name = rng.choice(["categoryid", "categoryid", "available", "790"])
            value = "n15.360 n8" if name == "790" else rng.randint(1, 9)
            lines.append(f"{time},{item},{name},{value}")
        text = "\n".join(lines) + "\n"
        (folder / f"item_properties_part{part}.csv").write_text(text, encoding="utf-8")
    tree = ["categoryid,parentid", *(f"{n},{n // 2 or ''}" for n in range(1, 9))]
    (folder / "category_tree.csv").write_text("\n".join(tree) + "\n", encoding="utf-8")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def events(folder: Path) -> Iterator[Event]:
    parents = {r["categoryid"]: r["parentid"] for r in table(folder / "category_tree.csv")}
    told: dict[str, dict[int, int]] = {}
    for part in (1, 2):
        for row in table(folder / f"item_properties_part{part}.csv"):
            if row["property"] == "categoryid":
                since, value = told.setdefault(row["itemid"], {}), int(row["value"])
                since[int(row["timestamp"])] = max(value, since.get(int(row["timestamp"]), 0))
    for row in table(folder / "events.csv"):
        time = int(row["timestamp"])
        known = [since for since in told.get(row["itemid"], {}) if since <= time]
        category = told[row["itemid"]][max(known)] if known else None
        parent = parents.get(str(category))
        yield {
            "who": int(row["visitorid"]),
            "item": int(row["itemid"]),
            "time": time,
            "click": row["event"] == "view",
            "macro": int(row["event"] == "addtocart"),
            "conversion": int(row["event"] == "transaction"),
            "category": category,
            "parent_category": int(parent) if parent else None,
            "order": row["transactionid"],
        }


def read(folder: Path) -> Iterator[Row]:
    return clicks(list(events(folder)), ("macro", "conversion"), context=CONTEXT)
