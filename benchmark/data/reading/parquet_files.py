"""Raw Parquet files: what is wrong with one is said in a sentence that names it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from benchmark import parquet
from benchmark.data.dataset import DataError


def checked_parquet(
    path: Path, columns: Iterable[str], rules: Mapping[str, pl.Expr] | None = None
) -> pl.LazyFrame:
    """Scan a file after a look at its columns, and at every row if there are ``rules``.

    A rule is a sentence and what must hold for its first column; null is broken.

    Raises:
        DataError: it cannot be read, lacks a column, or has a row that breaks a rule.
    """
    with locate_parquet_errors(path):
        rows = parquet.scan(path)
        types = rows.collect_schema()
        if lacking := [column for column in columns if column not in types]:
            has = ", ".join(types)
            raise DataError(f"{path} lacks the columns {', '.join(lacking)}; it has {has}")
        for rule, obeyed in (rules or {}).items():
            numbered = rows.select(obeyed.meta.root_names()[0]).with_row_index("row", 1)
            broken = numbered.filter(~obeyed.fill_null(value=False)).head(1).collect()
            for row, value in broken.iter_rows():
                raise DataError(f"{path}, row {row}: {rule}; it is {value}")
    return rows


@contextmanager
def locate_parquet_errors(path: Path) -> Iterator[None]:
    """Say of an error in the block which file cannot be read.

    Raises:
        DataError: the file is damaged, or no Parquet.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read: {reason}; get it again") from error
