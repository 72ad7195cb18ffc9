"""Diginetica: result lists of a shop's search and categories, clicked, bought in the session."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl

from benchmark.data.reading.history import Past
from benchmark.dataset import Dataset, Source, Span, find, scan_table, span, split_at, unique

Types = Mapping[str, type[pl.DataType]]
DATE = pl.col("eventdate").str.to_date("%Y-%m-%d", strict=False)
SECONDS = 86_400  # in a day
DAY = DATE.cast(pl.Int64) * SECONDS
TEST = pl.col("is.test").str.to_uppercase()
QUERIES: Types = {
    **dict.fromkeys(("queryId", "sessionId", "userId", "timeframe", "categoryId"), pl.Int64),
    **dict.fromkeys(("eventdate", "searchstring.tokens", "items", "is.test"), pl.String),
}
OF_QUERIES = {
    "eventdate must be YYYY-MM-DD": DATE.is_not_null(),
    "items must be ids between commas": pl.col("items").str.contains(r"^\d+(,\d+)*$"),
    "is.test must be TRUE or FALSE": TEST.is_in(["TRUE", "FALSE"]),
}
CLICKS: Types = dict.fromkeys(("queryId", "timeframe", "itemId"), pl.Int64)
EVENTS: Types = dict.fromkeys(("sessionId", "timeframe", "itemId"), pl.Int64)
PRICES: Types = {"itemId": pl.Int64, "pricelog2": pl.Float64}
CATEGORIES: Types = {"itemId": pl.Int64, "categoryId": pl.Int64}
NULLABLE = ("userId", "categoryId", "searchstring.tokens", "pricelog2")
LAST_PLACE = 50  # from which on places in a list are no longer told apart
LENGTH = 10


class Diginetica(Dataset):
    """Each row is a product in a list of results, clicked there, then bought in the session."""

    title = "Diginetica (CIKM Cup 2016)"
    cite = "diginetica2016cikm"
    licence = "Terms of CIKM Cup 2016, for research; no redistribution"
    claims = (
        "Impressions are the recovered lists of results (items of a query), clicks are those on "
        "them, so methods for the entire space apply. A purchase counts for the last such click "
        "on the product before it in the same session: the attribution window is the session, "
        "and what is bought in a later one is unknown. Purchases are few (18,025) and most follow "
        "visits from elsewhere: only those that can be joined to a click on a list are "
        "conversions, and differences in CVR need care. The outcomes of the competition's test "
        "queries were withheld and are not taken for zeros: their whole sessions are dropped, "
        "since what followed such a query may be missing too. The order is the shop's ranking: "
        "the place in the list is a feature, known with the impression. Histories are the "
        "products viewed earlier in the session; most users are anonymous. Splits are in time, "
        "by the day on which a session starts: the last 7 days are test, the 7 before valid. No "
        "metric here is unbiased for what would have happened without a click."
    )
    stages = ("impression", "click", "conversion")
    categorical = (
        "user_id", "query_kind", "query_category", "item_id", "item_category", "place",
        "viewed_before",
    )  # fmt: skip
    numeric = ("log2_price", "log_list_size")
    sequences = {
        "recent_items": ("item_id", LENGTH), "recent_categories": ("item_category", LENGTH),
    }  # fmt: skip
    sources = (
        Source(
            file="dataset-train-diginetica.zip",
            page="https://competitions.codalab.org/competitions/11161",
        ),
    )
    min_count = 5

    def table(self, raw: Path) -> pl.LazyFrame:
        logged = _scan(raw, "train-queries", QUERIES, OF_QUERIES, key="queryId")
        log = span(logged.select(DAY), 7 * SECONDS) or Span(0, 0)
        far = logged.remove(log.holds(DAY)).select("sessionId").unique()
        near = logged.join(far, on="sessionId", how="anti", maintain_order="left")
        withheld = near.filter(TEST == "TRUE").select("sessionId").unique()
        queries = near.join(withheld, on="sessionId", how="anti", maintain_order="left")
        hidden = near.join(withheld, on="sessionId", how="semi", maintain_order="left")
        categories = _scan(raw, "product-categories", CATEGORIES, key="itemId")
        pages = _pages(queries, _scan(raw, "train-item-views", EVENTS), categories)
        products = _scan(raw, "products", PRICES, key="itemId")
        clicked = _scan(raw, "train-clicks", CLICKS)
        clicks = _clicks(clicked, queries)
        sold = _scan(raw, "train-purchases", EVENTS)
        bought = _last_clicks(
            sold.join(withheld, on="sessionId", how="anti"), clicks.filter("listed")
        )
        seen = pl.col("recent_items").list.contains(pl.col("item_id"))
        rows = (
            _impressions(queries, products, categories)
            .join(pages, on="group", how="left", maintain_order="left")
            .join(_outcomes(clicks, bought), on=["group", "item_id"], how="left",
                  maintain_order="left")
            .with_columns(pl.col("click").fill_null(0), viewed_before=seen.cast(pl.Int8))
        )  # fmt: skip
        left_out = {
            f"query of a session with an {log.rule}": logged.join(far, on="sessionId", how="semi"),
            "query of a session with withheld outcomes": hidden,
            "purchase of a session with withheld outcomes": sold.join(
                withheld, on="sessionId", how="semi"
            ),
            "click on a query that is not logged": clicked.join(logged, on="queryId", how="anti"),
            "click on a product that its list lacks": clicks.lazy().remove("listed"),
            "purchase that follows no click on a list in its session": bought.lazy().filter(
                pl.col("queryId").is_null()
            ),
        }
        dropped = [
            frame.select(dropped=pl.repeat(rule, pl.len())) for rule, frame in left_out.items()
        ]
        return pl.concat([rows, *dropped], how="diagonal")


def _scan(
    raw: Path,
    name: str,
    types: Types,
    rules: Mapping[str, pl.Expr] = MappingProxyType({}),
    key: str | None = None,
) -> pl.LazyFrame:
    path = find(raw, f"{name}.csv")
    known = {
        f"{column} must not be missing": pl.col(column).is_not_null()
        for column in types
        if column not in NULLABLE
    }
    table = scan_table(path, types, separator=";", null_values=("NA",), rules={**known, **rules})
    return unique(table, key, path) if key else table


def _impressions(
    queries: pl.LazyFrame, products: pl.LazyFrame, categories: pl.LazyFrame
) -> pl.LazyFrame:
    """Return one row per query and listed product."""
    listed = pl.col("items").str.split(",").list.unique(maintain_order=True)
    typed = pl.col("searchstring.tokens").is_not_null()
    return (
        queries.select(
            group="queryId",
            user_id="userId",
            query_kind=pl.when(typed).then(pl.lit("text")).otherwise(pl.lit("category")),
            query_category="categoryId",
            item_id=listed.cast(pl.List(pl.Int64)),
            log_list_size=listed.list.len().log(),
        )
        .with_columns(place=pl.int_ranges(1, pl.col("item_id").list.len() + 1))
        .explode("item_id", "place")
        .with_columns(pl.col("place").clip(upper_bound=LAST_PLACE))
        .join(
            products.select(item_id="itemId", log2_price="pricelog2"),
            on="item_id", how="left", maintain_order="left",
        )
        .join(
            categories.select(item_id="itemId", item_category="categoryId"),
            on="item_id", how="left", maintain_order="left",
        )
    )  # fmt: skip


def _pages(queries: pl.LazyFrame, views: pl.LazyFrame, categories: pl.LazyFrame) -> pl.LazyFrame:
    """Return per query its split, and what its session viewed before it."""
    pages = queries.select("queryId", "sessionId", "timeframe", date=DATE).collect()
    viewed = views.join(categories, on="itemId", how="left", maintain_order="left").collect()
    events = pl.concat([pages, viewed], how="diagonal").rename({"timeframe": "time"})
    flags, rows = events["itemId"].is_not_null().to_numpy(), np.arange(len(pages))
    past, last = Past(events, "sessionId"), pl.col("date").max()
    starts = {"valid": last - pl.duration(days=13), "test": last - pl.duration(days=6)}
    return pages.lazy().select(
        group="queryId",
        split=split_at(pl.col("date").min().over("sessionId"), starts),
        recent_items=past.last(events["itemId"], flags, LENGTH, rows),
        recent_categories=past.last(events["categoryId"], flags, LENGTH, rows),
    )


def _clicks(clicks: pl.LazyFrame, queries: pl.LazyFrame) -> pl.DataFrame:
    """Return the first click per query and product, and whether the list has the product."""
    items = pl.col("items").str.split(",")
    return (
        clicks.group_by("queryId", "itemId")
        .agg(pl.col("timeframe").min())
        .join(queries.select("queryId", "sessionId", "items"), on="queryId")
        .with_columns(listed=items.list.contains(pl.col("itemId").cast(pl.String)))
        .drop("items")
        .sort("timeframe", "queryId", "itemId")
        .collect()
    )


def _last_clicks(purchases: pl.LazyFrame, clicks: pl.DataFrame) -> pl.DataFrame:
    """Return the purchases, each with the query of the last click on it in its session."""
    keys = ["sessionId", "itemId"]
    bought = purchases.collect().sort("timeframe")
    return bought.join_asof(clicks, on="timeframe", by=keys, check_sortedness=False)


def _outcomes(clicks: pl.DataFrame, bought: pl.DataFrame) -> pl.LazyFrame:
    """Return the listed clicks, and which of them a purchase is attributed to."""
    converted = bought.select("queryId", "itemId", conversion=pl.lit(1, pl.Int8)).unique()
    return (
        clicks.lazy()
        .filter("listed")
        .join(converted.lazy(), on=["queryId", "itemId"], how="left")
        .select(
            pl.col("conversion").fill_null(0),
            group="queryId",
            item_id="itemId",
            click=pl.lit(1, pl.Int8),
        )
    )
