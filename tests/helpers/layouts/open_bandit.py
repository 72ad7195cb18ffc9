"""Open Bandit: a folder per policy and campaign, with the log and the context of its items."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

from helpers.raw_logs import Row

START = datetime(2019, 11, 24, tzinfo=UTC)
USER = tuple(f"user_feature_{i}" for i in range(4))
ITEM = tuple(f"item_feature_{i}" for i in range(1, 4))
POLICIES = {"bts": "log", "random": "random"}


def write(folder: Path, campaign: str = "all", rows: int = 200) -> None:
    rng = random.Random(11)
    for policy in POLICIES:
        place = folder / "open_bandit_dataset" / policy / campaign
        place.mkdir(parents=True)
        with (place / f"{campaign}.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            head = ["timestamp", "item_id", "position", "click", "propensity_score", *USER]
            table.writerow(["", *head, "user-item_affinity_0", "user-item_affinity_1"])
            seconds = sorted(rng.randrange(7 * 86_400) for _ in range(rows))
            for number, second in enumerate(seconds):
                time = START + timedelta(seconds=second, microseconds=rng.choice([0, 480_654]))
                user = [f"{rng.randrange(3):x}c2986" for _ in USER]
                score = 1 / 80 if policy == "random" else rng.choice([0.2, 0.05, 1.0])
                shown = [time, rng.randrange(9), rng.randint(1, 3), rng.randint(0, 1), score]
                table.writerow([number, *shown, *user, 0.0, 1.0])
        with (place / "item_context.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["", "item_id", "item_feature_0", *ITEM])
            for item in range(8):
                table.writerow(
                    [item, item, rng.choice([-0.5, 0.25, ""]), policy, f"f{item % 3}", "g"]
                )


def read(folder: Path, campaign: str = "all") -> Iterator[Row]:
    logs = {}
    for policy in POLICIES:
        with next(folder.rglob(f"{policy}/{campaign}/{campaign}.csv")).open(newline="") as file:
            logs[policy] = list(csv.DictReader(file))
    times = sorted(row["timestamp"][:19] for row in logs["bts"])
    valid, test = (times[ceil((len(times) - 1) * share)] for share in (0.8, 0.9))
    with next(folder.rglob(f"bts/{campaign}/item_context.csv")).open(newline="") as file:
        items = {row["item_id"]: row for row in csv.DictReader(file)}
    for policy, log in logs.items():
        for row in log:
            time = row["timestamp"][:19]
            if policy == "random" and time < test:
                continue
            item = items.get(row["item_id"], {})
            price = item.get("item_feature_0")
            yield {
                **{name: row[name] for name in ("item_id", "position", *USER)},
                **{name: item.get(name) for name in ITEM},
                "item_feature_0": float(price) if price else None,
                "hour": int(time[11:13]),
                "policy": POLICIES[policy],
                "propensity": float(row["propensity_score"]),
                "split": "test" if time >= test else "valid" if time >= valid else "train",
                "click": int(row["click"]),
            }
