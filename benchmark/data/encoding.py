"""From raw values to numbers, with what the train split alone knows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from benchmark.data.dataset import Dataset
from benchmark.schema import Field

Vocabularies = Mapping[str, pl.Series]
SPAN, SPREAD = 1 << 22, 8  # a table may have so many places, or so many per known value
CONSTANT = 1e-7  # of the mean: a spread that is none
CENTRED = 1e-9  # of the spread: a mean that is 0


def vocabularies(train: pl.LazyFrame, dataset: Dataset) -> dict[str, pl.Series]:
    """Return the sorted values of each field that train has often enough.

    Fields are counted one after the other: memory holds the distinct values of one.
    """
    return {
        field: train.select(pl.col(field).drop_nulls())
        .group_by(field)
        .len("rows seen")
        .filter(pl.col("rows seen") >= dataset.min_count)
        .select(field)
        .collect(engine="streaming")
        .to_series()
        .sort()
        for field in dataset.categorical
    }


def distinct(table: pl.LazyFrame, column: str) -> pl.Series:
    """Return the sorted values of a column."""
    values = table.select(column).unique().collect(engine="streaming").to_series()
    return values.drop_nulls().sort()


def encoded(train: pl.LazyFrame, dataset: Dataset, known: Vocabularies) -> list[pl.Expr]:
    """Return the features as numbers; the id of a value is its place among the known ones."""
    return [
        *(ids(pl.col(name), values).alias(name) for name, values in known.items()),
        *(
            _history(pl.col(name), known[field], length).alias(name)
            for name, (field, length) in dataset.sequences.items()
        ),
        *_standardised(train, dataset),
    ]


def fields(dataset: Dataset, known: Vocabularies) -> tuple[Field, ...]:
    """Return what the encoded features are."""
    return (
        *(
            Field(name=field, kind="categorical", size=len(values) + 1)
            for field, values in known.items()
        ),
        *(Field(name=field, kind="numeric", size=1) for field in dataset.numeric),
        *(
            Field(name=name, kind="sequence", size=len(known[field]) + 1, of=field, length=length)
            for name, (field, length) in dataset.sequences.items()
        ),
    )


def ids(values: pl.Expr, known: pl.Series) -> pl.Expr:
    """Return each value's place among the sorted known ones, counted from 1; 0 if it has none.

    In pieces, unlike ``replace_strict``, which takes the whole column into memory.
    """
    if known.is_empty():
        return pl.lit(0, dtype=pl.UInt32)
    if known.dtype == pl.String:
        codes = values.cast(pl.Enum(known), strict=False).to_physical()
        return (codes.cast(pl.UInt32) + 1).fill_null(0)
    if known.dtype == pl.Boolean:
        return ids(values.cast(pl.UInt8), known.cast(pl.UInt8))

    if (
        known.dtype.is_integer()
        and known.dtype != pl.UInt64
        and known[-1] - known[0] < max(SPAN, len(known) * SPREAD)
    ):
        return _looked_up(values, known)
    return _searched(values, known)


def _looked_up(values: pl.Expr, known: pl.Series) -> pl.Expr:
    """Look integers up in a table of all from the first to the last known one.

    By NumPy: each operation on a series that Python asks polars for costs more than the look-up.
    """
    first, last = known[0], known[-1]
    table = np.zeros(last - first + 3, np.uint32)  # with a place for all below and one for above
    table[known.to_numpy().astype(np.int64) - first + 1] = np.arange(1, len(known) + 1)

    def ids_of(places: pl.Series) -> pl.Series:
        return pl.Series(table.take(places.to_numpy(), mode="clip"))

    places = (values.cast(pl.Int64) - first + 1).fill_null(0)  # what overflows ends outside too
    return places.map_batches(ids_of, return_dtype=pl.UInt32, is_elementwise=True)


def _searched(values: pl.Expr, known: pl.Series) -> pl.Expr:
    numbers = pl.int_range(1, len(known) + 1, dtype=pl.UInt32, eager=True)

    def ids_of(piece: pl.Series) -> pl.Series:
        if len(known) < len(piece):  # hashing them for each piece pays
            return piece.replace_strict(known, numbers, default=0, return_dtype=pl.UInt32)
        position = known.search_sorted(piece).clip(upper_bound=len(known) - 1)
        is_known = known.gather(position).eq(piece).fill_null(value=False)
        return (is_known.cast(pl.UInt32) * (position + 1)).cast(pl.UInt32)

    return values.map_batches(ids_of, return_dtype=pl.UInt32, is_elementwise=True)


def _history(lists: pl.Expr, known: pl.Series, length: int) -> pl.Expr:
    """Return the ids of the last values of each list, after as many zeros as it is short of."""

    def packed(piece: pl.Series) -> pl.Series:
        last = piece.list.tail(length)
        short = length - last.list.len().fill_null(0).to_numpy().astype(np.int64)
        values = last.explode(empty_as_null=False, keep_nulls=False).to_frame()
        encoded = values.select(ids(pl.first(), known)).to_series()
        rows = np.zeros((len(piece), length), np.uint32)
        rows[np.arange(length) >= short[:, None]] = encoded
        return pl.Series(rows)

    dtype = pl.Array(pl.UInt32, length)
    return lists.map_batches(packed, return_dtype=dtype, is_elementwise=True)


def _standardised(train: pl.LazyFrame, dataset: Dataset) -> list[pl.Expr]:
    """Return the scaled numbers; the rounding hides in which order the cores summed up."""
    if not dataset.numeric:
        return []
    numbers = pl.col(dataset.numeric).cast(pl.Float64)
    moments = [numbers.mean().name.suffix(" mean"), numbers.std().name.suffix(" spread")]
    rounded = train.select(moments).select(pl.all().round_sig_figs(9))
    values = rounded.collect(engine="streaming").row(0, named=True)
    return [
        _scaled(pl.col(field), *scale(values[f"{field} mean"], values[f"{field} spread"]))
        for field in dataset.numeric
    ]


def scale(mean: float | None, spread: float | None) -> tuple[float, float]:
    """Return mean and spread without what is only the rounding of sums, which follows the cores.

    A spread below 1e-7 of the mean is that of a constant, and becomes 1, or that if it is more: by
    what floats leave of it, or by what 9 digits leave of the mean, a constant would be scaled to
    millions. A mean that is lost beside the spread is 0.
    """
    mean, spread = mean or 0.0, spread or 0.0
    if spread <= CONSTANT * abs(mean):
        return mean, max(1.0, CONSTANT * abs(mean))  # above 1e7, digits were cut off the mean
    return (0.0 if abs(mean) < CENTRED * spread else mean), spread


def _scaled(number: pl.Expr, mean: float, spread: float) -> pl.Expr:
    return ((number.cast(pl.Float64) - mean) / spread).fill_null(0.0).cast(pl.Float32)
