"""Criteo attribution: gzipped tab-separated impressions with header, -1 where nothing is."""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Iterator
from math import ceil, log1p
from pathlib import Path

from helpers.raw_logs import Row

DAY = 86_400
HEADER = (
    "timestamp uid campaign conversion conversion_timestamp conversion_id attribution click"
    " click_pos click_nb cost cpo time_since_last_click cat1 cat2 cat3 cat4 cat5 cat6 cat7 cat8"
    " cat9"
)
FILE = "criteo_attribution_dataset.tsv.gz"


def write(folder: Path, users: int = 60) -> None:
    rng = random.Random(6)
    rows = sorted(row for user in range(users) for row in one_user(rng, user))
    folder.mkdir(parents=True)
    with gzip.open(folder / FILE, "wt", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerows([HEADER.split(), *rows])


def one_user(rng: random.Random, user: int) -> Iterator[list[int | float]]:
    """Yield a user's banners; those before the sale know it, and which click was the last."""
    times = sorted(rng.sample(range(30 * DAY), rng.randint(4, 12)))
    clicks = [time for time in times if rng.random() < 0.5]
    sale = rng.choice([-1, rng.choice(times) + rng.choice([0, 5, 3 * DAY, 9 * DAY])])
    touching = [time for time in clicks if time <= sale]
    attributed = rng.randint(0, 1)
    for time in times:
        sold, click = sale >= time, int(time in clicks)
        earlier = [t for t in clicks if t < time]
        yield [
            time, user, 900 + time % 4, int(sold), sale if sold else -1, user if sold else -1,
            attributed * sold, click,
            touching.index(time) if sold and click else -1,
            len(touching) if sold and click else -1,
            1e-5, 0.25, time - earlier[-1] if earlier else -1,
            *(7 * time % (3 + i) for i in range(9)),
        ]  # fmt: skip


def read(folder: Path, days: int | None = 7, length: int = 10) -> Iterator[Row]:
    with gzip.open(folder / FILE, "rt", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    end = max(max(int(row["timestamp"]), int(row["conversion_timestamp"])) for row in rows)
    kept = [row for row in rows if days is None or int(row["timestamp"]) + days * DAY <= end]
    times = sorted(int(row["timestamp"]) for row in kept)
    valid, test = (times[ceil((len(times) - 1) * share)] for share in (0.8, 0.9))
    for row in kept:
        time, clicked = int(row["timestamp"]), row["click"] == "1"
        delay = int(row["conversion_timestamp"]) - time
        converts = clicked and row["attribution"] == "1" and (days is None or delay <= days * DAY)
        converts = converts and int(row["click_pos"]) + 1 == int(row["click_nb"])
        since = int(row["time_since_last_click"])
        before = [
            other["campaign"]
            for other in rows
            if other["uid"] == row["uid"] and other["click"] == "1"
            and int(other["timestamp"]) < time
        ]  # fmt: skip
        known = {} if days is None else {
            "click_time": time if clicked else None,
            "conversion_delay": delay if converts else None,
        }  # fmt: skip
        yield known | {
            "split": "test" if time >= test else "valid" if time >= valid else "train",
            "group": row["uid"],
            "campaign": row["campaign"],
            "clicked_campaigns": before[-length:],
            **{f"cat{i}": row[f"cat{i}"] for i in range(1, 10)},
            "hour": time % DAY // 3600,
            "log_since_click": None if since < 0 else log1p(since),
            "click": int(clicked),
            "conversion": int(converts) if clicked else None,
        }
