"""CriteoPrivateAd: folders of days with Parquet files, one of them empty and one there again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import log1p
from pathlib import Path
from typing import Any

import polars as pl
from helpers.raw_logs import Row

KV, BROWSER = "features_kv_bits_constrained_", "features_browser_bits_constrained_"
CONTEXT = "features_ctx_not_constrained_"
CODED = (f"{KV}1", f"{KV}3", f"{CONTEXT}0")
AGAIN = "part-00000-d0cfd34a-794e-4f02-a177-a96d3f9483cf-c000.gz.parquet"
SPLITS = {1: "train", 2: "train", 3: "train", 4: "valid", 10: "test"}


def banner(rng: random.Random, number: int) -> dict[str, Any]:
    clicked = int(rng.random() < 0.5)
    landed = clicked * int(rng.random() < 0.7)
    sales = rng.choice([None, None, 0, 1, 3])
    return {
        "id": f"i{number}",
        "user_id": f"u{number % 7}",
        "display_order": rng.randint(1, 5),
        "campaign_id": rng.randint(1, 4),
        "publisher_id": rng.choice([None, -7, 9]),
        "sale_delay_after_display_array": None if sales is None else [sales, 900],
        "click_delay_after_display_array": [rng.randint(0, 99)] if clicked else None,
        "landed_click_delay_after_display_array": [] if landed else None,
        **{f"{KV}{i}": rng.choice([None, rng.random()]) for i in range(31) if i not in (1, 3, 5)},
        **{f"{KV}{i}": rng.randint(0, 9) for i in (1, 3)},
        f"{KV}5": None,
        **{f"{BROWSER}{i}": rng.choice([None, 10 * rng.random()]) for i in range(11)},
        f"{CONTEXT}0": rng.randint(-2, 2),
        f"{CONTEXT}2": [1, 2],
        "is_clicked": clicked,
        "is_click_landed": float(landed),
        "is_visit": landed * int(rng.random() < 0.5),
        "nb_sales": sales,
    }


def write(folder: Path, rows: int = 60) -> None:
    rng = random.Random(3)
    for day in SPLITS:
        files = folder / "data" / f"day_int={day}"
        files.mkdir(parents=True)
        frame = pl.DataFrame(
            [banner(rng, number) for number in range(rows)],
            infer_schema_length=None,
            schema_overrides={f"{KV}5": pl.Float64, "display_order": pl.Int32},
        )
        frame.clear().write_parquet(files / f"part-00000-{day}-c000.gz.parquet")
        frame[: rows // 2].write_parquet(files / f"part-00001-{day}-c000.gz.parquet")
        frame[rows // 2 :].write_parquet(files / f"part-00002-{day}-c000.gz.parquet")
        if day == 3:
            frame.write_parquet(files / AGAIN)


def read(folder: Path, click: str = "is_clicked") -> Iterator[Row]:
    for path in sorted(folder.rglob("part-*.parquet")):
        if path.name == AGAIN:
            continue
        for row in pl.read_parquet(path).to_dicts():
            clicked, sold = int(row[click]), int((row["nb_sales"] or 0) > 0)
            if sold and not clicked:
                continue
            yield {
                **{
                    name: None if row[name] is None else str(row[name])
                    for name in ("campaign_id", "publisher_id", *CODED)
                },
                **{f"{KV}{i}": row[f"{KV}{i}"] for i in range(25) if i not in (1, 3, 5)},
                **{f"{BROWSER}{i}": row[f"{BROWSER}{i}"] for i in range(11)},
                "log_banners_seen": log1p(row["display_order"] - 1),
                "split": SPLITS[int(path.parent.name.partition("=")[2])],
                "click": clicked,
                "conversion": sold if clicked else None,
            }
