"""Parts hold all rows once, equal keys together, in order."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pytest

from benchmark.data.dataset import DataError
from benchmark.data.partitions import (
    by_hash,
    first_of_each,
    in_slices,
    lazy_from_frames,
    map_in_order,
    stored,
)

ROWS = pl.DataFrame({"who": [None if i % 11 == 0 else f"user {i % 97}" for i in range(5000)]})
TABLE = ROWS.with_row_index("row")


def test_parts_hold_every_row_once_and_equal_keys_together(tmp_path: Path) -> None:
    parts = [part.collect() for part in by_hash(TABLE.lazy(), pl.col("who"), 8, tmp_path / "parts")]
    assert len(parts) == 8
    assert pl.concat(parts).sort("row").equals(TABLE)
    assert sum(part["who"].n_unique() for part in parts) == TABLE["who"].n_unique()
    assert all(part["row"].is_sorted() for part in parts)
    assert max(map(len, parts)) < len(TABLE) / 2


def test_a_folder_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "a[b]*?"
    parts = by_hash(TABLE.lazy(), pl.col("who"), 2, folder / "parts")
    assert pl.concat(parts).collect().sort("row").equals(TABLE)
    assert stored(TABLE.lazy(), folder / "rows.parquet").collect().equals(TABLE)


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


@pytest.mark.parametrize("parts", [1, 8])
def test_the_first_row_of_each_key_is_kept_in_order(tmp_path: Path, parts: int) -> None:
    found = first_of_each(TABLE.lazy(), "who", parts, tmp_path / "parts").collect()
    assert found.equals(TABLE.unique("who", keep="first", maintain_order=True))


def test_of_no_rows_none_is_kept(tmp_path: Path) -> None:
    assert first_of_each(TABLE.lazy().clear(), "who", 2, tmp_path / "parts").collect().is_empty()


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_slices_are_made_one_by_one_and_once(tmp_path: Path, rows: int) -> None:
    lazy_from_frames = []

    def doubled(part: pl.LazyFrame) -> pl.LazyFrame:
        lazy_from_frames.append(part)
        return part.with_columns(pl.col("row") * 2)

    head = TABLE.lazy().head(20)
    for _ in range(2):
        found = in_slices(head, rows, doubled, tmp_path / "slices").collect()
        assert found["row"].to_list() == list(range(0, 40, 2))
    assert len(list((tmp_path / "slices").iterdir())) == -(-20 // rows)


def test_what_is_made_of_parts_is_in_their_order_and_can_be_read_again(tmp_path: Path) -> None:
    parts = [TABLE.lazy().slice(start, 100) for start in range(0, 5000, 100)]

    def slow_at_first(part: pl.DataFrame) -> pl.DataFrame:
        time.sleep(0.01 if part["row"][0] < 200 else 0)
        return part.reverse()

    table = lazy_from_frames(lambda: map_in_order(slow_at_first, parts), TABLE.schema)
    expected = pl.concat(part.reverse() for part in parts).collect()
    assert stored(table, tmp_path / "rows.parquet").collect().equals(expected)
    few = table.filter(pl.col("row") % 100 == 7).select("row").head(3)
    assert few.collect(engine="streaming")["row"].to_list() == [7, 107, 207]


def test_an_error_in_the_making_is_told_as_it_is_and_leaves_nothing(tmp_path: Path) -> None:
    def broken(_: pl.DataFrame) -> pl.DataFrame:
        raise DataError("an event lacks its user")

    table = lazy_from_frames(lambda: map_in_order(broken, [TABLE.lazy()] * 9), TABLE.schema)
    with pytest.raises(DataError, match="an event lacks its user"):
        stored(table, tmp_path / "rows.parquet")
    assert list(tmp_path.iterdir()) == []
