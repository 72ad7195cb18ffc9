"""Tables on disk on the way to processed data: written once, and cut into parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from benchmark import parquet
from benchmark.files import replacing, replacing_folder

WORKERS = min(4, pl.thread_pool_size())  # more would hold more parts in memory
ROW_GROUP = 1 << 16
PIECE = 1 << 14  # rows of each part that wait in memory to be written together
NUMBER, PART = "number of the row", "number of the part"


def stored(frame: pl.LazyFrame, path: Path) -> pl.LazyFrame:
    """Write a table to a file, unless it is there already, and return a scan of it.

    The file is whole or absent, and not compressed: it is read soon, and compression would take a
    quarter of the time of a wide log for a third of the space. Its row groups are small, since a
    reader holds several.
    """
    if not path.is_file():
        with replacing(path) as temporary:
            frame.sink_parquet(temporary, compression="uncompressed", row_group_size=ROW_GROUP)
    return parquet.scan(path)


def scanned(folder: Path) -> pl.LazyFrame:
    """Return a scan of all Parquet files in a folder, whose name may hold any characters."""
    return parquet.scan(sorted(folder.glob("*.parquet")))


def temporary_folder(scratch: Path) -> Path:
    """Return a new folder in ``scratch`` for what no later run can use.

    Its name begins with a dot, like all that is unfinished: the next run deletes it after a kill.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    return Path(mkdtemp(prefix=".passing-", dir=scratch))


def by_hash(frame: pl.LazyFrame, key: pl.Expr, parts: int, scratch: Path) -> list[pl.LazyFrame]:
    """Write a table to ``scratch`` in parts, in one pass, and return scans of them.

    Rows of equal keys are in the same part, in their order; a missing key is a key. So what is
    true of all rows of a key (who clicked first, which lines are equal) can be found part by
    part. Parts are about equally large unless keys are few. They do not depend on the number of
    cores, but on the version of polars, which hashes.

    ``scratch`` is whole or absent: parts that are there already are not written again.
    """
    if not scratch.is_dir():
        part = (key.hash(seed=0) % parts).alias(PART)
        with replacing_folder(scratch) as folder:
            frame.sink_parquet(
                pl.PartitionBy(
                    folder, key=part, include_key=False, approximate_bytes_per_file=None
                ),
                compression="lz4",
                row_group_size=PIECE,
            )
    nothing = pl.LazyFrame(schema=frame.collect_schema())
    folders = [scratch / f"{PART}={number}" for number in range(parts)]
    return [scanned(folder) if folder.is_dir() else nothing for folder in folders]


def lazy_from_frames(
    frames: Callable[[], Iterator[pl.DataFrame]], schema: pl.Schema
) -> pl.LazyFrame:
    """Return a table that is made while it is read: of one frame after the other, in order."""

    def source(*_: object) -> Iterator[pl.DataFrame]:
        yield from frames()

    return register_io_source(source, schema=schema).map_batches(
        lambda frame: frame,  # keeps what is asked of the table from being asked of the frames
        predicate_pushdown=False,
        projection_pushdown=False,
        slice_pushdown=False,
        streamable=True,
    )


def map_in_order(
    function: Callable[..., pl.DataFrame], *parts: Iterable[pl.LazyFrame]
) -> Iterator[pl.DataFrame]:
    """Yield what a function makes of each part, in order; the next ones are made meanwhile.

    Of several tables in parts, it gets those that belong together.
    """

    def make(*frames: pl.LazyFrame) -> pl.DataFrame:
        return function(*(frame.collect() for frame in frames))

    pool = ThreadPoolExecutor(WORKERS)
    begun: deque[Future[pl.DataFrame]] = deque()
    try:
        for frames in zip(*parts, strict=True):
            begun.append(pool.submit(make, *frames))
            if len(begun) > WORKERS:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:  # without waiting, as it may be one of the pool's threads that gets here
        pool.shutdown(wait=False, cancel_futures=True)


def first_of_each(frame: pl.LazyFrame, key: str, parts: int, scratch: Path) -> pl.LazyFrame:
    """Return the first row of each key, in order; memory holds a part, and some bytes per key."""
    rows = frame.with_row_index(NUMBER)
    first = [
        part.unique(key, keep="first").select(NUMBER).collect().to_series().to_numpy()
        for part in by_hash(rows.select(NUMBER, key), pl.col(key), parts, scratch)
    ]
    numbers = np.concatenate(first)
    flags = np.zeros(1 + numbers.max(initial=0), dtype=np.bool_)
    flags[numbers] = True
    kept = pl.Series(flags)

    def is_first(number: pl.Series) -> pl.Series:
        return kept.gather(number.clip(upper_bound=len(kept) - 1)) & (number < len(kept))

    mask = pl.col(NUMBER).map_batches(is_first, return_dtype=pl.Boolean, is_elementwise=True)
    return rows.filter(mask).drop(NUMBER)


def in_slices(
    frame: pl.LazyFrame,
    rows: int,
    function: Callable[[pl.LazyFrame], pl.LazyFrame],
    scratch: Path,
) -> pl.LazyFrame:
    """Return what a function makes of consecutive slices, one after the other in memory.

    The slices are written to ``scratch``; those that are there already are not made again.
    """
    count = frame.select(pl.len()).collect(engine="streaming").item()
    return pl.concat(
        stored(function(frame.slice(start, rows)), _file(scratch, start // rows))
        for start in range(0, max(1, count), rows)
    )


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.parquet"
