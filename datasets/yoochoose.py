"""YooChoose: sessions of clicks in a shop, and what was bought in them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.dataset import EventLog, EventOptions, Source, WindowDays, find, given, scan_table

CLICKS = {"who": pl.Int64, "moment": pl.String, "item": pl.Int64, "category": pl.String}
BUYS = {
    "who": pl.Int64, "moment": pl.String, "item": pl.Int64, "price": pl.Int64, "quantity": pl.Int64
}  # fmt: skip
MOMENT = pl.col("moment").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", strict=False, time_unit="ms")
RULES = {
    **given("who", "item"),
    "moment must be like 2014-04-07T10:51:09.277Z": MOMENT.is_not_null(),
}


class YooChooseOptions(EventOptions):
    """The options of YooChoose."""

    window_days: WindowDays = 1


class YooChoose(EventLog):
    """Each row is a click on an item in a session, which may buy it."""

    title = "YooChoose, RecSys Challenge 2015"
    cite = "benshimon2015recsys"
    licence = "CC BY-NC-ND 4.0, according to its README"
    claims = (
        "A log of clicks: nothing about impressions, CTR, CTCVR or selection by the click can be "
        "learned or claimed from it, and there are no carts. A row is an item that a session "
        "clicks; further clicks on it within the window (option window_days, 1) repeat the row. "
        "conversion is 1 if the session buys the item at or after the click within the window. "
        "Purchases without such a click, exact duplicates, and clicks of the last day, whose "
        "window the log cuts off, are dropped and counted. Prices are known of purchases only, "
        "hence no feature. The category is the one under which the item was clicked: special "
        "offers, twelve categories, or brands; it is often missing. The clicks of the challenge's "
        "test file, whose purchases are not published, are not used. There are no users. "
        "Splits follow each other in time (80/10/10)."
    )
    stages = ("click", "conversion")
    context = ("category",)
    ids = ("item_id",)
    min_count = 5
    options: YooChooseOptions
    sources = (
        Source(
            file="yoochoose-data.7z",
            page="https://recsys.acm.org/recsys15/challenge/",
            url="https://s3-eu-west-1.amazonaws.com/yc-rdata/yoochoose-data.7z",
        ),
    )

    def events(self, raw: Path) -> pl.LazyFrame:
        """See :meth:`EventLog.events`."""
        clicks = _scan(raw, "yoochoose-clicks.dat", CLICKS).with_columns(
            pl.col("category").replace({"0": None}), conversion=pl.lit(0, dtype=pl.Int8)
        )
        buys = _scan(raw, "yoochoose-buys.dat", BUYS).with_columns(
            conversion=pl.lit(1, dtype=pl.Int8)
        )
        return pl.concat([clicks, buys], how="diagonal").select(
            pl.exclude("moment"),
            time=MOMENT.dt.epoch("ms"),
            click=pl.col("conversion") == 0,
        )


def _scan(raw: Path, name: str, columns: dict[str, type[pl.DataType]]) -> pl.LazyFrame:
    return scan_table(find(raw, name), columns, header=False, rules=RULES)
