"""TencentGR: folders of Parquet files with sequences of ads, and with fields of ads and users."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any

import polars as pl
from helpers.raw_logs import Row

START, DAY = 1_740_000_000, 86_400
USER = ("103", "104", "105", "109")
AD = ("100", "101", "112", "114", "115", "116", "117", "118", "119", "120", "122")


def write(folder: Path, users: int = 30, ads: int = 12) -> None:
    rng = random.Random(9)
    people = [
        {"user_id": user, **{name: user % (2 + i) for i, name in enumerate(USER)}, "106": [1, 2]}
        for user in range(users - 1)
    ]
    known = [
        {"item_id": ad, **{name: rng.choice([None, ad % 5]) for name in AD}, "121": 7 * ad}
        for ad in range(ads - 1)
    ]
    sequences = [{"user_id": user, "seq": sequence(rng, ads)} for user in range(users)]
    for name, rows in {
        "user_feat/0": people, "item_feat/0": known,
        "seq/0": sequences[: users // 2], "seq/1": sequences[users // 2 :],
    }.items():  # fmt: skip
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)


def sequence(rng: random.Random, ads: int) -> list[dict[str, int]]:
    times = sorted(rng.randrange(90 * DAY) for _ in range(rng.randint(2, 9)))
    return [
        {
            "item_id": rng.randrange(ads),
            "action_type": rng.choice([0, 0, 1, 2]),
            "timestamp": START + time,
        }
        for time in times
    ]


def read(folder: Path) -> Iterator[Row]:
    people, ads = (
        {row[key]: row for row in rows(folder, name)}
        for name, key in (("user_feat", "user_id"), ("item_feat", "item_id"))
    )
    events = [
        (event["timestamp"], row["user_id"], event)
        for row in rows(folder, "seq")
        for event in row["seq"]
    ]
    times = sorted(time for time, _, _ in events)
    cuts = [times[ceil((len(times) - 1) * share)] for share in (0.8, 0.8 + 0.1)]
    for time, user, event in events:
        moment, action = datetime.fromtimestamp(time, UTC), event["action_type"]
        yield {
            "user_id": user,
            "group": user,
            "item_id": event["item_id"],
            **{f"user_{name}": text(people.get(user, {}).get(name)) for name in USER},
            **{f"ad_{name}": text(ads.get(event["item_id"], {}).get(name)) for name in AD},
            "hour": moment.hour,
            "weekday": moment.isoweekday(),
            "split": ("train", "valid", "test")[sum(time >= cut for cut in cuts)],
            "click": int(action > 0),
            "conversion": int(action == 2) if action > 0 else None,
        }


def rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / name).glob("*.parquet")):
        yield from pl.read_parquet(path).to_dicts()


def text(value: int | None) -> str | None:
    return None if value is None else str(value)
