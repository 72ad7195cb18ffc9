"""When clicks were made and how long their conversions took: what must be true of it."""

from __future__ import annotations

import polars as pl

from benchmark.data.dataset import DataError, Dataset

CLICK, DELAY = pl.col("click_time"), pl.col("conversion_delay")


def time_rules(dataset: Dataset, clicked: pl.Expr) -> dict[str, pl.Expr]:
    """Return what must not be true of any row, by the rule that it breaks.

    Raises:
        DataError: the dataset states no attribution window, or nonsense.
    """
    window, known = _window(dataset), clicked.fill_null(value=False)
    converted = known & (pl.col("conversion") == 1).fill_null(value=False)
    return {
        "click_time must be known on clicked rows and nowhere else": known != CLICK.is_not_null(),
        "click_time must be finite": CLICK.is_infinite(),
        "conversion_delay must be known on conversions and nowhere else": converted
        != DELAY.is_not_null(),
        f"conversion_delay must lie in [0, {window:g}], the attribution window": ~DELAY.is_between(
            0, window
        ),
    }


def check_order(table: pl.LazyFrame, dataset: Dataset) -> None:
    """Check that the splits follow each other, and that some of the first is ever certain.

    Raises:
        DataError: another split has a click before the last one of train, or train does not last
            longer than the attribution window.
    """
    window, train = _window(dataset), pl.col("split") == "train"
    times = table.select(
        first=CLICK.filter(train).min(),
        last=CLICK.filter(train).max(),
        next=CLICK.filter(~train).min(),
    ).collect()
    first, last, following = times.row(0)
    if first is None:
        raise DataError(f"{dataset.title}: no click in train, hence no times to learn from")
    if following is not None and following < last:
        raise DataError(
            f"{dataset.title}: train lasts until {last:g}, but another split has a click at "
            f"{following:g}; with times, splits must follow each other"
        )
    if last - first <= window:
        raise DataError(
            f"{dataset.title}: train lasts from {first:g} to {last:g}, which must be longer than "
            f"the attribution window of {window:g}; give it more rows, or leave the times out"
        )


def _window(dataset: Dataset) -> float:
    """Return how long after a click its conversion counts."""
    window = dataset.attribution_window
    if window is None or not 0 < window < float("inf"):
        raise DataError(
            f"{dataset.title}: attribution_window is {window}; where the table has times it must "
            "be a number above 0, in the same unit"
        )
    return window
