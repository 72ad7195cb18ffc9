"""Splits for logs without time: by a hash, hence equal on every machine and in every run."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from itertools import accumulate

import polars as pl


def split_by_hash(key: pl.Expr, shares: Mapping[str, float]) -> pl.Expr:
    """Return a split per row, by a hash of its key; rows of equal key stay together.

    ``shares`` gives the splits' probabilities, which sum to 1. A missing key has no split.
    """
    position = key.cast(pl.String).map_batches(
        _positions, return_dtype=pl.Float64, is_elementwise=True
    )
    split: pl.Expr = pl.when(position.is_not_null()).then(pl.lit(list(shares)[-1]))
    bounds = list(zip(shares, accumulate(shares.values()), strict=True))
    for name, bound in reversed(bounds[:-1]):
        split = pl.when(position < bound).then(pl.lit(name)).otherwise(split)
    return split


def _positions(keys: pl.Series) -> pl.Series:
    """Map strings to [0, 1), each distinct one once."""
    distinct = keys.drop_nulls().unique()
    positions = pl.Series([_position(key) for key in distinct], dtype=pl.Float64)
    return keys.replace_strict(distinct, positions, default=None, return_dtype=pl.Float64)


def _position(key: str) -> float:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64
