"""Criteo conversion log: clicks on banners of two months, and their conversions in 30 days."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from benchmark.dataset import (
    Dataset,
    Field,
    Options,
    Source,
    Span,
    find,
    scan_table,
    span,
    split_by_time,
)

DAY = 86_400
COUNTS = tuple(f"integer_{i}" for i in range(1, 9))
HASHES = tuple(f"category_{i}" for i in range(1, 10))
TYPES = {
    **dict.fromkeys(("click_time", "conversion_time", *COUNTS), pl.Int64),
    **dict.fromkeys(HASHES, pl.String),
}
TIME, CONVERTED_AT = pl.col("click_time"), pl.col("conversion_time")
RULES = {
    "click_time must be an integer from 0 up": TIME >= 0,
    "conversion_time must be empty or not before click_time": CONVERTED_AT.fill_null(TIME) >= TIME,
}
CUT_OFF = "click whose window the end of the log cuts off"


class CriteoConversionOptions(Options):
    """The options of the Criteo conversion log."""

    window_days: float | None = Field(30, ge=0.01, le=30)
    """How many days after its click a conversion counts; null: all are logged, without times."""


class CriteoConversion(Dataset):
    """Each row is a click on a banner; it converts with the action that its advertiser wants.

    Evidence: File, separator and order of the columns are those of the publisher's baseline (in
    Vowpal Wabbit's repository) and of three other public readers, which agree. That conversions
    were waited for during 30 days is reported by later papers on this log, and by the abstract of
    its own as "up to a month". We had no file of it when we wrote this.
    """

    title = "Criteo conversion log (delayed feedback)"
    cite = "chapelle2014modeling"
    licence = "Terms on the page, which must be accepted"
    claims = (
        "A log of clicks: nothing about impressions, CTR, CTCVR or selection by the click can be "
        "learned or claimed from it; what it is for is delayed feedback. A click converts if a "
        "conversion follows within the window of option window_days (30, as its publisher counted; "
        "null: all that are logged, without times), as its publisher attributed it. The log is "
        "taken to end with its last click or conversion: clicks whose window is not over by then "
        "are dropped and counted, so that a copy whose conversions stop with the clicks loses its "
        "last 30 days, and then needs a shorter window to be of use; with null none is dropped, "
        "and the last ones have too few conversions. Criteo sub-sampled the "
        "traffic by a rule that is not published: the CVR, about 23 % by others' counts, is the "
        "sample's. Times start at an unknown moment, and so does the time of day; splits follow "
        "each other in time (80/10/10). What the 8 integers and 9 hashes mean is not disclosed, "
        "nor whether all were known at the click; they are taken as the features they were "
        "published as. There are no users, hence no groups and no histories. Nothing was shown "
        "at random."
    )
    stages = ("click", "conversion")
    categorical = (*HASHES, "hour")
    numeric = tuple(f"log_{name}" for name in COUNTS)
    sources = (
        Source(
            file="criteo_conversion_logs.tar.gz",
            page="https://labs.criteo.com/2013/12/conversion-logs-dataset/",
        ),
    )
    min_count = 10
    options: CriteoConversionOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        days = self.options.window_days
        self.attribution_window = None if days is None else float(days * DAY)

    def table(self, raw: Path) -> pl.LazyFrame:
        path = find(raw, "data.txt")
        rows = scan_table(path, TYPES, separator="\t", header=False, quote=None, rules=RULES)
        delay, window = CONVERTED_AT - TIME, self.attribution_window
        converted, whole, delays = delay.is_not_null(), pl.lit(value=True), {}
        until = pl.max_horizontal("click_time", "conversion_time")
        log = span(rows.select(until), window or DAY, dated=False) or Span(0, 0)
        log.check_unit(self.title)
        inside = log.holds(until)
        if window is not None:
            if log.last - log.first <= window:
                raise log.too_short(self.title, window)
            converted = (delay <= window).fill_null(value=False)
            whole = TIME + window <= log.last
            delays = {"conversion_delay": pl.when(converted).then(delay)}
        known = rows.select(
            *HASHES,
            *(_logarithm(name) for name in COUNTS),
            hour=TIME // 3600 % 24,
            click_time=pl.when(whole & inside).then(TIME),
            conversion=converted.cast(pl.Int8),
            dropped=pl.when(~inside).then(pl.lit(log.rule)).when(~whole).then(pl.lit(CUT_OFF)),
            **delays,
        )
        split = split_by_time(known, "click_time")
        return split if delays else split.drop("click_time")


def _logarithm(name: str) -> pl.Expr:
    """Return the logarithm of a count, with the sign of the few that are below 0."""
    return (pl.col(name).sign() * pl.col(name).abs().log1p()).alias(f"log_{name}")
