"""Tables on disk on the way to ready data: written once, and cut into parts."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.files import replacing, replacing_folder


def stored(frame: pl.LazyFrame, path: Path) -> pl.LazyFrame:
    """Write a table to a file, unless it is there already, and return a scan of it.

    The file is whole or absent.
    """
    if not path.is_file():
        with replacing(path) as temporary:
            frame.sink_parquet(temporary, compression="lz4")
    return pl.scan_parquet(path)


def by_hash(frame: pl.LazyFrame, key: pl.Expr, parts: int, scratch: Path) -> list[pl.LazyFrame]:
    """Write a table to ``scratch`` in parts, in one pass, and return scans of them.

    Rows of equal keys are in the same part, in their order; a missing key is a key. So what is
    true of all rows of a key (who clicked first, which lines are equal) can be found part by
    part. Parts are about equally large unless keys are few. They do not depend on the number of
    cores, but on the version of polars, which hashes.

    ``scratch`` is whole or absent: parts that are there already are not written again.
    """
    if not scratch.is_dir():
        part = key.hash(seed=0) % parts
        with replacing_folder(scratch) as folder:
            sinks = [
                frame.filter(part == number).sink_parquet(
                    _file(folder, number), compression="lz4", lazy=True
                )
                for number in range(parts)
            ]
            pl.collect_all(sinks)
    return [pl.scan_parquet(_file(scratch, number)) for number in range(parts)]


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.parquet"
