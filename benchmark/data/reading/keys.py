"""Keys of raw tables: rows that others are joined to must be there once."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.data.dataset import DataError


def unique(table: pl.LazyFrame, key: str, path: Path, *, first_line: int = 2) -> pl.LazyFrame:
    """Return a scanned table as it is, after a pass over its key.

    ``path`` is the file that has one row per line, from ``first_line`` on.

    Raises:
        DataError: a key is there twice.
    """
    keys = table.select(key).drop_nulls()
    repeated = keys.group_by(key).len("times").filter(pl.col("times") > 1)
    for value, _ in repeated.sort(key).head(1).collect().iter_rows():
        lines = table.select(key).with_row_index("line", first_line).filter(pl.col(key) == value)
        first, second = lines.collect()["line"][:2]
        raise DataError(
            f"{path}, line {second}: {key} {value} is in line {first} already; it must be there "
            "once, get the file again"
        )
    return table
