"""Measure how fast, and in how much memory, AliExpress's search log becomes processed splits.

Run: python speed/preprocess_aliexpress.py [--rows 4000000]

Raw files are generated in the log's layout, wide and without headers: a file of items shown, page
by page, 18 on each, and one of searches, and a third as many rows for test. A size that pandas
survives is done in pandas as well, and must come out the same.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from measured import Layout, check, encoded
from numpy.random import Generator

ITEMS_PER_SEARCH, CHUNK, POOL = 18, 500_000, 20_000
USER = [f"user_{i}" for i in range(1, 34)]
ITEM = [f"item_{i}" for i in range(1, 50)]
CODES = [*USER[1:8], *USER[31:33], *(f"item_{i}" for i in (19, 34, 35, 36, 40, 41, 42))]
NUMBERS = [name for name in (*USER[8:], *ITEM[1:48]) if name not in CODES]


def generate(raw: Path, part: str, rows: int, seed: int) -> None:
    """Write the two files of the train or test part."""
    rng = np.random.default_rng(seed)
    searches = 1 + rows // ITEMS_PER_SEARCH
    with (raw / f"nl_user_{part}.csv").open("wb") as file:
        executor = _pool(rng, USER[1:])
        for start in range(0, searches, CHUNK):
            ids = np.arange(start, min(start + CHUNK, searches))
            file.write(_lines(ids, executor, rng))
    with (raw / f"nl_item_{part}.csv").open("wb") as file:
        executor = _pool(rng, ITEM[1:48])
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            label = rng.choice([0, 1, 2], count, p=[0.97, 0.028, 0.002])
            search = np.arange(start, start + count) // ITEMS_PER_SEARCH
            file.write(_lines(search, executor, rng, label))


def _pool(rng: Generator, names: list[str]) -> pl.Series:
    columns = [
        rng.integers(0, 1000, POOL) if name in CODES else np.round(rng.lognormal(size=POOL), 4)
        for name in names
    ]
    cells = [pl.lit(pl.Series(column)) for column in columns]
    return pl.select(pl.concat_str(cells, separator=",")).to_series()


def _lines(
    search: np.ndarray, executor: pl.Series, rng: Generator, label: np.ndarray | None = None
) -> bytes:
    cells = [pl.Series(search), executor.gather(rng.integers(len(executor), size=len(search)))]
    cells += [] if label is None else [pl.Series(label)]
    lines = pl.select(pl.concat_str([pl.lit(cell) for cell in cells], separator=",")).to_series()
    text: str = lines.str.join("\n").item()
    return text.encode() + b"\n"


def in_pandas(raw: Path) -> dict[str, pd.DataFrame]:
    """Return the encoded splits, made as one does in pandas."""
    parts = {part: _joined(raw, part) for part in ("train", "test")}
    searches = parts["train"]["user_1"]
    share = searches.map({key: _position(key) for key in searches.unique()})
    splits = {
        "train": parts["train"][share < 0.9],
        "valid": parts["train"][share >= 0.9],
        "test": parts["test"],
    }
    train = splits["train"]
    known = {str(field): pd.Index(sorted(train[field].dropna().unique())) for field in CODES}
    means, spreads = train[NUMBERS].mean(), train[NUMBERS].std()
    return {split: _encoded(rows, known, means, spreads) for split, rows in splits.items()}


def _joined(raw: Path, part: str) -> pd.DataFrame:
    codes: Any = dict.fromkeys(["user_1", "item_1", *CODES], "str")
    searches = pd.read_csv(raw / f"nl_user_{part}.csv", names=USER, dtype=codes)
    items = pd.read_csv(raw / f"nl_item_{part}.csv", names=ITEM, dtype=codes)
    if not items["item_49"].isin([0, 1, 2]).all():
        raise ValueError("a label is not one of 0, 1, 2")
    rows = items.merge(searches, left_on="item_1", right_on="user_1", validate="many_to_one")
    if np.isinf(rows[NUMBERS]).any(axis=None):
        raise ValueError("a number is infinite")
    return rows


def _position(key: str) -> float:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64


def _encoded(
    rows: pd.DataFrame, known: dict[str, pd.Index[Any]], means: pd.Series, spreads: pd.Series
) -> pd.DataFrame:
    label = rows["item_49"]
    return encoded(rows, known, means, spreads).assign(
        click=(label >= 1).astype(np.int8),
        conversion=(label == 2).where(label >= 1),
        group=rows["user_1"].rank(method="dense").astype(np.uint32),
    )


def write(raw: Path, rows: int) -> None:
    """Write so many rows of train, and a part as many of test."""
    generate(raw, "train", rows, seed=1)
    generate(raw, "test", rows // 3, seed=2)


if __name__ == "__main__":
    Layout("aliexpress", write, in_pandas, check).main(
        "Measure the preprocessing of AliExpress's log.", 4_000_000
    )
