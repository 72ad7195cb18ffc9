"""From raw values to numbers, with what the train split alone knows."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from benchmark.data.dataset import Dataset
from benchmark.schema import Field

Vocabularies = Mapping[str, pl.Series]


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

    def places(piece: pl.Series) -> pl.Series:
        place = known.search_sorted(piece).clip(upper_bound=len(known) - 1)
        found = known.gather(place).eq(piece).fill_null(value=False)
        return (found.cast(pl.UInt32) * (place + 1)).cast(pl.UInt32)

    return values.map_batches(places, return_dtype=pl.UInt32, is_elementwise=True)


def _history(lists: pl.Expr, known: pl.Series, length: int) -> pl.Expr:
    """Return the ids of the last values of each list, after as many zeros as it is short of."""
    last = lists.list.tail(length).list.eval(ids(pl.element(), known)).fill_null([])
    zeros = pl.lit([0] * length, dtype=pl.List(pl.UInt32))
    return pl.concat_list(zeros, last).list.tail(length).list.to_array(length)


def _standardised(train: pl.LazyFrame, dataset: Dataset) -> list[pl.Expr]:
    """Return the scaled numbers; the rounding hides in which order the cores summed up."""
    if not dataset.numeric:
        return []
    numbers = pl.col(dataset.numeric)
    moments = [numbers.mean().name.suffix(" mean"), numbers.std().name.suffix(" spread")]
    found = train.select(moments).select(pl.all().round_sig_figs(9))
    values = found.collect(engine="streaming").row(0, named=True)
    return [
        ((pl.col(field) - (values[f"{field} mean"] or 0.0)) / (values[f"{field} spread"] or 1.0))
        .fill_null(0.0)
        .cast(pl.Float32)
        for field in dataset.numeric
    ]
