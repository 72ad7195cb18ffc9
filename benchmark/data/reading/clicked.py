"""What users had clicked before each row of a log too large for memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from shutil import rmtree

import numpy as np
import polars as pl

from benchmark.data.partitions import (
    by_hash,
    lazy_from_frames,
    map_in_order,
    stored,
    temporary_folder,
)
from benchmark.data.reading.past import Past

PART_BYTES = 1 << 26  # of the raw file, per partition


def with_clicked_before(
    rows: pl.LazyFrame, sequences: Mapping[str, tuple[str, int]], raw: Path, scratch: Path
) -> pl.LazyFrame:
    """Add the histories of a log's users, and return its rows by partition of users, then time.

    ``rows`` has ``who``, ``time`` and ``click`` (1 where there is one). Each of ``sequences``
    lists the values of a field in its user's earlier clicks, the most recent last; those of the
    same time are left out, as their order is unknown, and a missing user has none. ``raw`` is the
    file that the rows are from: its size says how many partitions bound the memory. Intermediate
    files go to ``scratch``.
    """
    folder = temporary_folder(scratch)
    parts = by_hash(rows, pl.col("who"), 1 + raw.stat().st_size // PART_BYTES, folder / "by-user")
    remembered = partial(_remembered, sequences=sequences)
    schema = remembered(parts[0].clear().collect()).schema
    known = stored(
        lazy_from_frames(lambda: map_in_order(remembered, parts), schema), folder / "rows.parquet"
    )
    rmtree(folder / "by-user")
    return known


def _remembered(rows: pl.DataFrame, sequences: Mapping[str, tuple[str, int]]) -> pl.DataFrame:
    """Return the rows of some users by time, with their histories."""
    rows = rows.sort("time", maintain_order=True)
    past, everywhere = Past(rows, "who"), np.arange(len(rows))
    clicked = rows.select((pl.col("click") == 1) & pl.col("who").is_not_null())
    flags = clicked.to_series().to_numpy()
    return rows.with_columns(
        past.last(rows[field], flags, length, everywhere).alias(name)
        for name, (field, length) in sequences.items()
    )
