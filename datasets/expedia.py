"""Expedia: hotels in search results, seen, clicked, booked; some lists in random order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.reading.layouts import Rules
from benchmark.dataset import DataError, Dataset, Options, Source, find, scan_table, split_by_time

COMPETITORS = tuple(f"comp{i}_{what}" for i in range(1, 9) for what in ("rate", "inv"))
SEARCH = (
    "site_id", "visitor_location_country_id", "srch_destination_id", "srch_adults_count",
    "srch_children_count", "srch_room_count", "srch_saturday_night_bool",
)  # fmt: skip
HOTEL = (
    "prop_country_id", "prop_id", "prop_starrating", "prop_review_score", "prop_brand_bool",
    "promotion_flag",
)  # fmt: skip
NUMBERS = (
    "visitor_hist_starrating", "visitor_hist_adr_usd", "srch_length_of_stay",
    "srch_booking_window", "srch_query_affinity_score", "prop_location_score1",
    "prop_location_score2", "prop_log_historical_price",
)  # fmt: skip
TYPES: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("srch_id", "position", *SEARCH, *HOTEL), pl.Int64),
    **dict.fromkeys(("price_usd", "orig_destination_distance", *NUMBERS, *COMPETITORS), pl.Float64),
    **dict.fromkeys(("random_bool", "click_bool", "booking_bool"), pl.Int8),
    "prop_review_score": pl.Float64,
    "date_time": pl.String,
}
WHEN = pl.col("date_time").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
RULES = {
    **{
        f"{name} must be 0 or 1": pl.col(name).is_in([0, 1])
        for name in ("random_bool", "click_bool", "booking_bool")
    },
    "srch_id must not be missing": pl.col("srch_id").is_not_null(),
    "price_usd must be a number from 0 up": pl.col("price_usd") >= 0,
    "date_time must be YYYY-MM-DD HH:MM:SS": WHEN.is_not_null(),
}


class ExpediaOptions(Options):
    """The options of Expedia."""

    position: bool = True
    """Whether the position in the list is a feature."""


class Expedia(Dataset):
    """Each row is a hotel in the list of a search; lists in random order are the random test."""

    title = "Expedia hotel searches (ICDM 2013)"
    cite = "expedia2013personalize"
    licence = "Rules of the Kaggle competition, which must be accepted; no redistribution"
    claims = (
        "Impression, click and booking are logged, so methods for the entire space apply. Where "
        "random_bool is 1 the list was shown in random order: all of these searches are the "
        "random test, from the whole period, and none of their rows is in train or valid. What is "
        "random is the order, not the choice of the hotels, and Expedia kept mostly searches that "
        "led to a booking: metrics of the random population are free of the ranker's position "
        "bias, not of that selection. Other searches are split in time (80/10/10). The position "
        "is a feature: it is known with the impression and drives the click. In logged lists it "
        "also tells the ranker's opinion of the hotel, in random ones nothing of the kind, so a "
        "model that has taken it for quality is punished there; a ranker that is yet to choose "
        "the position cannot know it (option position: false leaves it out). Size and prices of "
        "the list are features too. There are no user ids, hence no histories. A booking without "
        "a click is dropped. The window in which bookings are counted is not published."
    )
    stages = ("impression", "click", "conversion")
    numeric = (
        *NUMBERS, "log_price", "log_distance", "list_size", "log_price_to_list",
    )  # fmt: skip
    sources = (
        Source(file="data.zip", page="https://www.kaggle.com/c/expedia-personalized-sort/data"),
    )
    min_count = 5
    options: ExpediaOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        position = ("position",) if self.options.position else ()
        self.categorical = (*SEARCH, *HOTEL, *position, *COMPETITORS)

    def table(self, raw: Path) -> pl.LazyFrame:
        path = find(raw, "train.csv")
        rows = _read(path, RULES)
        click, booking, price = pl.col("click_bool"), pl.col("booking_bool"), pl.col("price_usd")
        historical = pl.col("prop_log_historical_price")
        return rows.join(_searches(path).lazy(), on="srch_id", maintain_order="left").with_columns(
            pl.when(historical > 0).then(historical),  # 0: not sold in that period
            pl.col(COMPETITORS).cast(pl.Int8),
            policy=pl.when(pl.col("random_bool") == 1)
            .then(pl.lit("random"))
            .otherwise(pl.lit("log")),
            group=pl.col("srch_id"),
            log_price=price.log1p(),
            log_distance=pl.col("orig_destination_distance").log1p(),
            log_price_to_list=price.log1p() - pl.col("middle_price").log1p(),
            dropped=pl.when(click == 0, booking == 1).then(pl.lit("booking without a click")),
            click=click,
            conversion=pl.when(click == 1).then(booking),
        )


def _read(path: Path, rules: Rules | None = None) -> pl.LazyFrame:
    return scan_table(path, TYPES, null_values=("NULL",), rules=rules)


def _searches(path: Path) -> pl.DataFrame:
    """Return per search its split, and what its list shows at a glance.

    Rows that break a rule stop the reading of the table that these are joined to.
    """
    searches = (
        _read(path)
        .group_by("srch_id")
        .agg(
            list_size=pl.len(),
            middle_price=pl.col("price_usd").median(),
            orders=pl.col("random_bool").n_unique(),
            hotels=pl.col("prop_id").n_unique(),
            logged_at=pl.when(random_bool=0).then(WHEN).min(),
        )
        .sort("srch_id")
        .collect(engine="streaming")
    )
    for fault, what in (
        (pl.col("orders") > 1, "has a random and a logged order; it must have one"),
        (pl.col("hotels") < pl.col("list_size"), "lists a hotel twice; it must list it once"),
    ):
        for search in searches.filter(fault)["srch_id"].head(1):
            raise DataError(f"{path}: search {search} {what}; get the file again")
    kept = searches.select("srch_id", "list_size", "middle_price", "logged_at").lazy()
    return (
        split_by_time(kept, "logged_at")
        .with_columns(pl.col("split").fill_null("test"))
        .drop("logged_at")
        .collect()
    )
