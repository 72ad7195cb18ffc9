"""Criteo sponsored search: clicks on ads for products, bought up to 30 days later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.reading.epoch import LATEST
from benchmark.data.reading.span import LONGEST
from benchmark.dataset import (
    Dataset,
    History,
    Options,
    Source,
    find,
    scan_table,
    split_by_time,
    with_clicked_before,
)

PAGE = "https://ailab.criteo.com/criteo-sponsored-search-conversion-log-dataset/"
DAY = 86_400
CATEGORIES = tuple(f"product_category{i}" for i in range(1, 8))
CONTEXT = (
    "product_age_group", "device_type", "audience_id", "product_gender", "product_brand",
    *CATEGORIES, "product_country", "product_id", "partner_id",
)  # fmt: skip
COLUMNS = (
    "Sale", "SalesAmountInEuro", "time_delay_for_conversion", "click_timestamp",
    "nb_clicks_1week", "product_price", *CONTEXT[:5], *CATEGORIES, "product_country",
    "product_id", "product_title", "partner_id", "user_id",
)  # fmt: skip
TYPES: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(COLUMNS, pl.String),
    "Sale": pl.Int8,
    "click_timestamp": pl.Int64,
    **dict.fromkeys(("time_delay_for_conversion", "nb_clicks_1week"), pl.Float64),
}
SALE, DELAY = pl.col("Sale"), pl.col("time_delay_for_conversion")
WINDOW = 30 * DAY
RULES = {
    "Sale must be 0 or 1": SALE.is_in([0, 1]),
    "time_delay_for_conversion must be -1 or seconds from 0 up": DELAY.fill_null(0).is_between(
        0, LONGEST
    ),
    "time_delay_for_conversion must be -1 where Sale is 0": (SALE == 1) | DELAY.is_null(),
    "click_timestamp must be seconds from 0 up, 0 if unknown": pl.col("click_timestamp").is_between(
        0, LATEST, "left"
    ),
    "nb_clicks_1week must be -1 or from 0 up": pl.col("nb_clicks_1week").fill_null(0) >= 0,
}


class CriteoSearchOptions(Options):
    """The options of Criteo search."""

    history: History = 10


class CriteoSearch(Dataset):
    """Each row is a click on a product ad of a search engine; it converts with a sale."""

    title = "Criteo sponsored search"
    cite = "criteo2018reacting"
    licence = "Terms on the page, which must be accepted"
    claims = (
        "A log of clicks: nothing about impressions, CTR, CTCVR or selection by the click can be "
        "learned or claimed from it; what it is for is delayed feedback. A click converts if a "
        "sale follows within 30 days, as its publisher attributed it; labels are final for all "
        "of the 90 days. Criteo sub-sampled the log by a rule that is not published: the CVR is "
        "the sample's. Times are shifted by an unknown amount, splits follow each other in time "
        "(80/10/10). Clicks without a time and sales without a delay are dropped and counted. "
        "product_price is no feature: it is 0 on clicks without a sale and hence tells the "
        "label, as others who examined the log report; nor are the amount of the sale and the "
        "title, a bag of hashed words."
    )
    stages = ("click", "conversion")
    categorical = ("user_id", *CONTEXT)
    numeric = ("log_clicks_1week",)
    sources = (Source(file="Criteo_Conversion_Search.zip", page=PAGE),)
    attribution_window = float(WINDOW)
    min_count = 10
    options: CriteoSearchOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if length := self.options.history:
            self.sequences = {"clicked_products": ("product_id", length)}

    def table(self, raw: Path) -> pl.LazyFrame:
        path, time = find(raw, "CriteoSearchData*"), pl.col("click_timestamp")
        rows = scan_table(
            path, TYPES, separator="\t", header=False, null_values=("-1",), quote=None, rules=RULES
        ).select(
            *CONTEXT,
            "user_id",
            who="user_id",
            time=time,
            click=(time > 0).cast(pl.Int8),
            conversion=(DELAY <= WINDOW).fill_null(value=False).cast(pl.Int8),
            conversion_delay=pl.when(DELAY <= WINDOW).then(DELAY),
            log_clicks_1week=pl.col("nb_clicks_1week").log1p(),
            dropped=pl.when(time == 0)
            .then(pl.lit("click without a time"))
            .when(SALE == 1, DELAY.is_null())
            .then(pl.lit("sale without a delay")),
        )
        known = with_clicked_before(rows, self.sequences, path, self.scratch).with_columns(
            group="who",
            click_time=pl.when(pl.col("dropped").is_null()).then("time"),
        )
        return split_by_time(known.drop("click"), "click_time")
