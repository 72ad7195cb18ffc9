"""Criteo sponsored search: tab-separated clicks without header, -1 where nothing is known."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from math import ceil, log1p
from pathlib import Path

from helpers.raw_logs import Row

DAY = 86_400
FILE = "CriteoSearchData"
HASHED = (
    "product_age_group", "device_type", "audience_id", "product_gender", "product_brand",
    *(f"product_category{i}" for i in range(1, 8)), "product_country", "product_id",
)  # fmt: skip


def write(folder: Path, clicks: int = 400) -> None:
    rng = random.Random(8)
    (folder / "Criteo_Conversion_Search").mkdir(parents=True)
    rows = []
    for _ in range(clicks):
        sale = int(rng.random() < 0.2)
        delay = rng.choice([0, 59, 2 * DAY, 30 * DAY, 30 * DAY + 1, -1]) if sale else -1
        time = rng.choice([0, *(1_596_000_000 + rng.randrange(90 * DAY) for _ in range(40))])
        hashed = [rng.choice(["-1", f"{name[8:12]}{rng.randint(0, 9)}"]) for name in HASHED]
        rows.append([
            sale, 19.9 if sale else -1.0, delay, time, rng.choice([-1, 0, 7]), 9.95 * sale,
            *hashed, "AB CD", f"seller{rng.randint(0, 3)}", rng.choice(["-1", "ann", "bob", "cy"]),
        ])  # fmt: skip
    rows.sort(key=lambda row: row[3])
    path = folder / "Criteo_Conversion_Search" / FILE
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)


def read(folder: Path, length: int = 10) -> Iterator[Row]:
    with next(folder.rglob(FILE)).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    kept = [row for row in rows if row[3] != "0" and not (row[0] == "1" and row[2] == "-1")]
    times = sorted(int(row[3]) for row in kept)
    valid, test = (times[ceil((len(times) - 1) * share)] for share in (0.8, 0.9))
    for row in kept:
        time, delay, week, user = int(row[3]), int(row[2]), int(row[4]), missing(row[22])
        converts = 0 <= delay <= 30 * DAY
        earlier = [other for other in rows if user == other[22] and 0 < int(other[3]) < time]
        yield {
            "split": "test" if time >= test else "valid" if time >= valid else "train",
            "group": user or None,
            "user_id": user,
            "partner_id": row[21],
            **{name: missing(row[6 + place]) for place, name in enumerate(HASHED)},
            "clicked_products": [missing(other[19]) for other in earlier[-length:]],
            "log_clicks_1week": None if week < 0 else log1p(week),
            "conversion": int(converts),
            "click_time": time,
            "conversion_delay": delay if converts else None,
        }


def missing(text: str) -> str | None:
    return None if text == "-1" else text
