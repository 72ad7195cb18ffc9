"""Raw Parquet files: what is wrong with one is said in a sentence that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import polars as pl

from benchmark import parquet
from benchmark.data.dataset import DataError
from benchmark.data.reading.layouts import listed

Kind = Literal["an integer", "a floating-point number", "a time in UTC"]
KINDS: dict[Kind, Callable[[pl.DataType], bool]] = {
    "an integer": lambda dtype: dtype.is_integer(),
    "a floating-point number": lambda dtype: dtype.is_float(),
    "a time in UTC": lambda dtype: isinstance(dtype, pl.Datetime),
}


def checked_parquet(
    path: Path,
    columns: Iterable[str],
    rules: Mapping[str, pl.Expr] | None = None,
    kinds: Mapping[str, Kind] | None = None,
) -> pl.LazyFrame:
    """Scan a file after a look at its columns, and at every row if there are ``rules``.

    A rule is a sentence and what must hold for its first column; null is broken. ``kinds`` says
    of what kind columns must be.

    Raises:
        DataError: it cannot be read, lacks a column or has one of another kind, or has a row that
            breaks a rule.
    """
    with locate_parquet_errors(path):
        rows = parquet.scan(path)
        types = rows.collect_schema()
        if lacking := [column for column in columns if column not in types]:
            raise DataError(
                f"{path} lacks the columns {', '.join(lacking)}; it has {listed(types)}"
            )
        for column, kind in (kinds or {}).items():
            if not KINDS[kind](types[column]):
                raise DataError(f"{path}: {column} is {types[column]}; it must be {kind}")
        for rule, obeyed in (rules or {}).items():
            numbered = rows.select(obeyed.meta.root_names()[0]).with_row_index("row", 1)
            broken = numbered.filter(~obeyed.fill_null(value=False)).head(1).collect()
            for row, value in broken.iter_rows():
                raise DataError(f"{path}, row {row}: {rule}; it is {value}")
    return rows


def same_types(parts: Mapping[Path, pl.LazyFrame]) -> Mapping[Path, pl.LazyFrame]:
    """Return what was read from each file, after a look at the types, which must be the same.

    Raises:
        DataError: a column is of another type in one file than in the first.
    """
    first, known = next((path, part.collect_schema()) for path, part in parts.items())
    for path, part in parts.items():
        for name, dtype in part.collect_schema().items():
            if dtype != known[name]:
                raise DataError(
                    f"{path}: {name} is {dtype}, but {known[name]} in {first}; get both again"
                )
    return parts


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
