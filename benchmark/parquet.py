"""Parquet files by their paths, in which no character stands for others.

polars takes paths for patterns, in which ``[``, ``*`` and ``?`` match other names, and folders like
``a=1`` for columns. So every Parquet file is read by way of this module.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl


def scan(path: Path | list[Path]) -> pl.LazyFrame:
    """Scan a file, or several of the same columns, one after the other."""
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def read(path: Path) -> pl.DataFrame:
    """Read a whole file."""
    return scan(path).collect()
