"""Ratings of self-chosen items to learn from, of randomly drawn items to test on."""

from __future__ import annotations

from typing import Literal

import polars as pl
from pydantic import Field

from benchmark.data.options import Options
from benchmark.data.split import split_by_hash

SHARES = {"train": 0.9, "valid": 0.1}
RATED, DRAWN = (pl.col(ratings).fill_null(0) > 0 for ratings in ("chosen", "drawn"))


class RatedOptions(Options):
    """The options of a log of ratings."""

    positive_rating: int = Field(4, ge=2, le=5)
    """The lowest rating that counts as a conversion."""
    drawn_cells: Literal["held_out", "in_train"] = "held_out"
    """Whether the randomly drawn cells are test rows only, or in train and valid as well."""
    unrated_per_rating: float | None = Field(None, ge=0.1)
    """How many cells without a rating are kept per rating; null keeps all."""

    @property
    def proxy_label(self) -> str:
        """What is called a conversion."""
        return f"rating from {self.positive_rating} up"


def funnel(cells: pl.LazyFrame, key: str, options: RatedOptions) -> pl.LazyFrame:
    """Return the cells of a matrix as impressions: rating one is the click, liking it converts.

    ``cells`` has ``user_id``, ``item_id`` and the ratings ``chosen`` and ``drawn``, 0 or missing
    where there is none; ``key`` seeds the hash that splits. Drawn cells are the test split, and
    nothing else unless the option ``drawn_cells`` is "in_train": then what users chose among them
    is in train and valid too, with the ratings that the test asks for. ``unrated_per_rating``
    keeps about so many cells without a rating, by a hash: the same ones either way.
    """
    drawn, logged = cells.filter(DRAWN), _thinned(cells, key, options.unrated_per_rating)
    if options.drawn_cells == "held_out":
        logged = logged.filter(~DRAWN)
    return pl.concat([_logged(logged, key, options), _drawn(drawn, options)])


def _thinned(cells: pl.LazyFrame, key: str, unrated: float | None) -> pl.LazyFrame:
    if unrated is None:
        return cells
    rated = cells.select(RATED.mean()).collect().item()
    kept = min(1.0, unrated * rated / (1 - rated))
    part = split_by_hash(_cell(f"unrated {key}"), {"kept": kept, "left": 1 - kept})
    return cells.filter(RATED | (part == "kept"))


def _logged(cells: pl.LazyFrame, key: str, options: RatedOptions) -> pl.LazyFrame:
    return cells.with_columns(
        split=split_by_hash(_cell(key), SHARES),
        policy=pl.lit("log"),
        click=RATED.cast(pl.Int8),
        conversion=pl.when(RATED).then(_liked("chosen", options)),
    )


def _cell(key: str) -> pl.Expr:
    return pl.format(f"{key} {{}} {{}}", "user_id", "item_id")


def _drawn(cells: pl.LazyFrame, options: RatedOptions) -> pl.LazyFrame:
    return cells.with_columns(
        split=pl.lit("test"),
        policy=pl.lit("random"),
        click=pl.lit(None, dtype=pl.Int8),
        conversion=_liked("drawn", options),
    )


def _liked(ratings: str, options: RatedOptions) -> pl.Expr:
    return (pl.col(ratings) >= options.positive_rating).cast(pl.Int8)
