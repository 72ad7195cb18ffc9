"""Hillstrom: one CSV file with a header, a customer per line."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from math import log1p
from pathlib import Path

from helpers.raw_logs import Row, in_share

HEAD = (
    "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,"
    "conversion,spend"
)
CODES = ("history_segment", "mens", "womens", "zip_code", "newbie", "channel")


def write(folder: Path, customers: int = 300) -> None:
    rng = random.Random(12)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [HEAD]
    for _ in range(customers):
        visit = rng.randint(0, 1)
        bought = rng.randint(0, 1) if visit or rng.random() < 0.05 else 0
        area, channel = rng.choice(["Surburban", "Rural"]), rng.choice(["Web", "Multichannel"])
        arm = rng.choice(["No E-Mail", "Mens E-Mail", "Womens E-Mail"])
        segment = rng.choice(['"7) $1,000 +"', "2) $100 - $200"])
        lines.append(
            f"{rng.randint(1, 12)},{segment},{rng.randint(0, 99999) / 100},{rng.randint(0, 1)},1,"
            f"{area},{rng.randint(0, 1)},{channel},{arm},{visit},{bought},{29.99 * bought}"
        )
    (folder / "hillstrom_data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(folder: Path) -> Iterator[Row]:
    with next(folder.rglob("hillstrom_data.csv")).open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            visit, bought = int(row["visit"]), int(row["conversion"])
            if bought and not visit:
                continue
            yield {
                **{name: row[name] for name in (*CODES, "segment")},
                "recency": int(row["recency"]),
                "log_history": log1p(float(row["history"])),
                "split": "train"
                if in_share(str(number), 0.5)
                else "valid"
                if in_share(str(number), 0.65)
                else "test",
                "propensity": 1 / 3,
                "click": visit,
                "conversion": bought if visit else None,
            }
