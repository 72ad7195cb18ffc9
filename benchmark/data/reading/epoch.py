"""Times counted from 1970: seconds are told from milliseconds by their size."""

from __future__ import annotations

import polars as pl

EARLIEST, LATEST = 10**8, 10**11  # seconds: March 1973, and the year 5138


def seconds(*columns: str) -> dict[str, pl.Expr]:
    """Return the rules of a reader that columns count seconds, not milliseconds, since 1970."""
    return {
        f"{column} must be seconds since 1970": _inside(column, 1, LATEST) for column in columns
    }


def milliseconds(*columns: str) -> dict[str, pl.Expr]:
    """Return the rules of a reader that columns count milliseconds, not seconds, since 1970."""
    return {
        f"{column} must be milliseconds since 1970": _inside(column, LATEST, LATEST * 1000)
        for column in columns
    }


def _inside(column: str, first: int, end: int) -> pl.Expr:
    return pl.col(column).cast(pl.Int64, strict=False).is_between(first, end, "left")
