"""AliExpress: searches and their results in two files without header, per country and part."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from helpers.raw_logs import Row, in_share


def write(folder: Path, country: str = "nl", searches: int = 60) -> None:
    rng = random.Random(3)
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        ids = [str(1000 + number) for number in range(searches)]
        users = [[one, *(str(rng.randint(0, 9)) for _ in range(32))] for one in ids]
        items = [
            [rng.choice([*ids, "7"]), *(str(rng.randint(0, 999) / 8) for _ in range(47)), label]
            for label in rng.choices("012", weights=(8, 2, 1), k=6 * searches)
        ]
        for kind, rows in {"user": users, "item": items}.items():
            with (folder / f"{country}_{kind}_{part}.csv").open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)


def read(folder: Path, country: str = "nl") -> Iterator[Row]:
    for part in ("train", "test"):
        with (folder / f"{country}_user_{part}.csv").open(newline="") as file:
            users = {row[0]: row for row in csv.reader(file)}
        with (folder / f"{country}_item_{part}.csv").open(newline="") as file:
            for row in csv.reader(file):
                if row[0] in users:
                    cell = "train" if in_share(row[0], 0.9) else "valid"
                    yield read_search(users[row[0]], row) | {
                        "split": cell if part == "train" else part
                    }


def read_search(user: list[str], item: list[str]) -> Row:
    values = {f"user_{i}": value for i, value in enumerate(user, 1)}
    values |= {f"item_{i}": value for i, value in enumerate(item, 1)}
    search, label = values.pop("item_1"), int(values.pop("item_49"))
    del values["user_1"]
    codes = {"user": (*range(2, 9), 32, 33), "item": (19, 34, 35, 36, 40, 41, 42)}
    text = {f"{kind}_{i}" for kind, numbers in codes.items() for i in numbers}
    features = {name: value if name in text else float(value) for name, value in values.items()}
    labels = {"click": int(label > 0), "conversion": int(label == 2) if label else None}
    return {"group": search, **features, **labels}
