"""MAC: Parquet files of clicks with ids as text, histories, and credits by four rules."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from helpers.raw_logs import Row, in_share

FEATURES = (
    "user_id", *(f"user_feat{i}" for i in range(6)), *(f"ad_feat{i}" for i in range(6)),
    *(f"context_feat{i}" for i in range(4)),
)  # fmt: skip
FILES = {"train/train-00": 120, "train/train-01": 90, "test/test": 40}


def click(rng: random.Random) -> dict[str, Any]:
    last, several = rng.randint(0, 1), rng.random() < 0.5
    return {
        **{name: f"{name[0]}{rng.randint(0, 5)}" for name in FEATURES},
        **{f"ad_feat{i}_seq": [f"a{rng.randint(0, 5)}" for _ in range(20)] for i in range(3)},
        **{f"mm_feat{i}_seq": [rng.random() for _ in range(20)] for i in range(2)},
        "first": float(rng.randint(0, 1)),
        "last": float(last),
        "mta": rng.choice([0.0, 0.3]),
        "linear": 0.25 if last or several else 0.0,
    }


def write(folder: Path) -> None:
    rng = random.Random(4)
    for name, rows in FILES.items():
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame([click(rng) for _ in range(rows)]).write_parquet(path)


def read(folder: Path, rule: str = "last", length: int = 20) -> Iterator[Row]:
    for path in sorted(folder.rglob("*.parquet")):
        for number, row in enumerate(pl.read_parquet(path).to_dicts()):
            early = "train" if in_share(f"{path.stem}/{number}", 0.95) else "valid"
            yield {
                **{name: row[name] for name in FEATURES},
                **{
                    f"recent_ad_feat{i}": row[f"ad_feat{i}_seq"][-length:]
                    for i in range(3)
                    if length
                },
                "group": row["user_id"],
                "split": "test" if path.stem == "test" else early,
                "conversion": int(row[rule] > 0),
            }
