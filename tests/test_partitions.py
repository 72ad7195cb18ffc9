"""Parts hold all rows once, equal keys together, in order."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from benchmark.data.partitions import by_hash

ROWS = pl.DataFrame({"who": [None if i % 11 == 0 else f"user {i % 97}" for i in range(5000)]})
TABLE = ROWS.with_row_index("row")


def test_parts_hold_every_row_once_and_equal_keys_together(tmp_path: Path) -> None:
    parts = [part.collect() for part in by_hash(TABLE.lazy(), pl.col("who"), 8, tmp_path / "parts")]
    assert len(parts) == 8
    assert pl.concat(parts).sort("row").equals(TABLE)
    assert sum(part["who"].n_unique() for part in parts) == TABLE["who"].n_unique()
    assert all(part["row"].is_sorted() for part in parts)
    assert max(map(len, parts)) < len(TABLE) / 2


def test_parts_that_are_there_are_not_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    first = by_hash(TABLE.lazy(), pl.col("who"), 4, folder)
    again = by_hash(TABLE.lazy().clear(), pl.col("who"), 4, folder)
    assert pl.concat(again).collect().equals(pl.concat(first).collect())


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    broken = TABLE.lazy().with_columns(pl.col("who").cast(pl.Int64))
    with pytest.raises(pl.exceptions.PolarsError):
        by_hash(broken, pl.col("row"), 4, tmp_path / "parts")
    assert list(tmp_path.iterdir()) == []
