"""Ratings of self-chosen items to learn from, of randomly drawn items to test on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from benchmark.data.options import Rule, number, one_of, optional
from benchmark.data.split import split_by_hash

OPTIONS = {"positive_rating": 4, "drawn_cells": "held_out", "unrated_per_rating": None}
RULES = {
    "positive_rating": Rule("2, 3, 4 or 5", lambda value: type(value) is int and 2 <= value <= 5),
    "drawn_cells": one_of({"held_out": "test only", "in_train": "logged as well"}),
    "unrated_per_rating": optional(number(0.1)),
}
SHARES = {"train": 0.9, "valid": 0.1}
RATED, DRAWN = (pl.col(ratings).fill_null(0) > 0 for ratings in ("chosen", "drawn"))


def outcome(chosen: Mapping[str, Any]) -> str:
    """Return what stands for the conversion."""
    return f"rating from {chosen['positive_rating']} up"


def funnel(cells: pl.LazyFrame, key: str, chosen: Mapping[str, Any]) -> pl.LazyFrame:
    """Return the cells of a matrix as impressions: rating one is the click, liking it converts.

    ``cells`` has ``user_id``, ``item_id`` and the ratings ``chosen`` and ``drawn``, 0 or missing
    where there is none; ``key`` seeds the hash that splits. Drawn cells are the test split, and
    nothing else unless the option ``drawn_cells`` is "in_train": then what users chose among them
    is in train and valid too, with the ratings that the test asks for. ``unrated_per_rating``
    keeps about so many cells without a rating, by a hash: the same ones either way.
    """
    drawn, logged = cells.filter(DRAWN), _thinned(cells, key, chosen["unrated_per_rating"])
    if chosen["drawn_cells"] == "held_out":
        logged = logged.filter(~DRAWN)
    return pl.concat([_logged(logged, key, chosen), _drawn(drawn, chosen)])


def _thinned(cells: pl.LazyFrame, key: str, unrated: float | None) -> pl.LazyFrame:
    if unrated is None:
        return cells
    rated = cells.select(RATED.mean()).collect().item()
    kept = min(1.0, unrated * rated / (1 - rated))
    place = split_by_hash(_cell(f"unrated {key}"), {"kept": kept, "left": 1 - kept})
    return cells.filter(RATED | (place == "kept"))


def _logged(cells: pl.LazyFrame, key: str, chosen: Mapping[str, Any]) -> pl.LazyFrame:
    return cells.with_columns(
        split=split_by_hash(_cell(key), SHARES),
        policy=pl.lit("log"),
        click=RATED.cast(pl.Int8),
        conversion=pl.when(RATED).then(_liked("chosen", chosen)),
    )


def _cell(key: str) -> pl.Expr:
    return pl.format(f"{key} {{}} {{}}", "user_id", "item_id")


def _drawn(cells: pl.LazyFrame, chosen: Mapping[str, Any]) -> pl.LazyFrame:
    return cells.with_columns(
        split=pl.lit("test"),
        policy=pl.lit("random"),
        click=pl.lit(None, dtype=pl.Int8),
        conversion=_liked("drawn", chosen),
    )


def _liked(ratings: str, chosen: Mapping[str, Any]) -> pl.Expr:
    return (pl.col(ratings) >= chosen["positive_rating"]).cast(pl.Int8)
