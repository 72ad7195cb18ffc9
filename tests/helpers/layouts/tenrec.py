r"""Tenrec: a CSV of impressions with header, \N where something is missing."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from helpers.raw_logs import Row, in_share

TRAITS = ("item_id", "video_category", "gender", "age")
HEADER = "user_id,item_id,click,follow,like,share,video_category,watching_times,gender,age"


def write(folder: Path, users: int = 80, file: str = "QK-video.csv") -> None:
    rng = random.Random(9)
    (folder / "Tenrec").mkdir(parents=True)
    with (folder / "Tenrec" / file).open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(HEADER.split(","))
        for user in range(users):
            for item in rng.sample(range(40), 10):
                click = int(rng.random() < 0.3)
                after = [int(rng.random() < (0.4 if click else 0.02)) for _ in range(3)]
                traits = [rng.choice(["\\N", "0", "1"]), rng.randint(0, 9) * click]
                table.writerow([user, item, click, *after, *traits, rng.randint(0, 2), "\\N"])


def read(folder: Path, label: str = "like") -> Iterator[Row]:
    with next(folder.rglob("*.csv")).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            clicked, user = row["click"] == "1", row["user_id"]
            if clicked or row[label] == "0":
                yield {
                    "group": user,
                    "split": "train" if in_share(user, 0.8) else "valid" if in_share(user, 0.9)
                    else "test",
                    **{name: missing(row[name]) for name in TRAITS},
                    "click": int(clicked),
                    "conversion": int(row[label]) if clicked else None,
                }  # fmt: skip


def missing(text: str) -> str | None:
    return None if text == "\\N" else text
