"""Retailrocket: visitors of a shop who view, cart and buy items."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.dataset import EventLog, Source, find, given, milliseconds, scan_table, unique

EVENTS = {
    "timestamp": pl.Int64, "visitorid": pl.Int64, "event": pl.String, "itemid": pl.Int64,
    "transactionid": pl.Int64,
}  # fmt: skip
PROPERTIES = {
    "timestamp": pl.Int64, "itemid": pl.Int64, "property": pl.String, "value": pl.String
}  # fmt: skip
TREE = {"categoryid": pl.Int64, "parentid": pl.Int64}
KINDS = ("view", "addtocart", "transaction")
RULES = {
    **given("timestamp", "visitorid", "itemid"),
    f"event must be one of {', '.join(KINDS)}": pl.col("event").is_in(KINDS),
    "transactionid must be given on transactions and nowhere else": (
        pl.col("event") == "transaction"
    )
    == pl.col("transactionid").is_not_null(),
}
PROPERTY_RULES = {
    **milliseconds("timestamp"),
    **given("itemid", "property"),
    "the value of a categoryid must be an integer": (pl.col("property") != "categoryid")
    | pl.col("value").str.contains(r"^\d+$"),
}


class Retailrocket(EventLog):
    """Each row is a view of an item by a visitor; a cart or a purchase may follow."""

    title = "Retailrocket"
    cite = "retailrocket"
    licence = "CC BY-NC-SA 4.0"
    claims = (
        "A log of clicks (views of items): nothing about impressions, CTR, CTCVR or selection by "
        "the click can be learned or claimed from it. A row is a visitor's view of an item; later "
        "views of it within the window (option window_days, 7) repeat the row. macro (cart) and "
        "conversion (transaction) are 1 if they follow at or after the view within the window, "
        "attributed to the last row. Carts and purchases without such a view, exact duplicates and "
        "views of the last days, whose window the log cuts off, are dropped and counted. "
        "Categories are those last published at or before the view; unknown before the first "
        "weekly snapshot. Counts start with the log. Visitors are cookies. Splits follow each "
        "other in time (80/10/10), so visitors occur in several."
    )
    stages = ("click", "macro", "conversion")
    context = ("category", "parent_category")
    min_count = 5
    sources = (
        Source(
            file="retailrocket.zip",
            page="https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
            url="https://www.kaggle.com/api/v1/datasets/download/retailrocket/ecommerce-dataset",
            sha256="5dc06173eaa4a4d3b0a5f6afc4daffb0218d95e409aaacba5fdaa0214eacf2a2",
            size=304_719_974,
        ),
    )

    def events(self, raw: Path) -> pl.LazyFrame:
        """See :meth:`EventLog.events`."""
        event = pl.col("event")
        return (
            scan_table(find(raw, "events.csv"), EVENTS, rules=RULES)
            .sort("timestamp")
            .join_asof(_categories(raw), on="timestamp", by="itemid", check_sortedness=False)
            .rename({"visitorid": "who", "itemid": "item", "timestamp": "time"})
            .with_columns(
                click=event == "view",
                macro=(event == "addtocart").cast(pl.Int8),
                conversion=(event == "transaction").cast(pl.Int8),
            )
            .drop("event")
        )


def _categories(raw: Path) -> pl.LazyFrame:
    """Return since when an item has which category, and the category above that one."""
    files = [find(raw, f"item_properties_part{part}.csv") for part in (1, 2)]
    path = find(raw, "category_tree.csv")
    tree = unique(scan_table(path, TREE), "categoryid", path)
    return (
        pl.concat([scan_table(path, PROPERTIES, rules=PROPERTY_RULES) for path in files])
        .filter(pl.col("property") == "categoryid")
        .group_by("itemid", "timestamp")
        .agg(category=pl.col("value").cast(pl.Int64).max())
        .join(
            tree.rename({"parentid": "parent_category"}),
            left_on="category",
            right_on="categoryid",
            how="left",
        )
        .sort("timestamp")
    )
