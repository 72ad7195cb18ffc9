"""Coveo (SIGIR eCom 2021): results of a shop's search, clicked, and bought in the session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from benchmark.data.partitions import (
    by_hash,
    lazy_from_frames,
    map_in_order,
    stored,
    temporary_folder,
)
from benchmark.data.reading.history import Past
from benchmark.data.reading.layouts import Types
from benchmark.dataset import (
    Dataset,
    Source,
    find,
    milliseconds,
    scan_table,
    split_by_time,
    unique,
)

SESSION, TIME = pl.col("session_id_hash"), pl.col("server_timestamp_epoch_ms")
SEARCHES: Types = {
    "session_id_hash": pl.String, "query_vector": pl.String, "clicked_skus_hash": pl.String,
    "product_skus_hash": pl.String, "server_timestamp_epoch_ms": pl.Int64,
}  # fmt: skip
ACTIONS: Types = {
    "session_id_hash": pl.String, "product_action": pl.String, "product_sku_hash": pl.String,
    "server_timestamp_epoch_ms": pl.Int64,
}  # fmt: skip
PRODUCTS: Types = {
    "product_sku_hash": pl.String, "category_hash": pl.String, "price_bucket": pl.Float64
}  # fmt: skip
KINDS = ("detail", "add", "remove", "purchase", "click")
GIVEN = {
    "session_id_hash must be given": SESSION.is_not_null(),
    **milliseconds("server_timestamp_epoch_ms"),
}
OF_ACTIONS = {
    f"product_action must be empty or one of {', '.join(KINDS)}": pl.col("product_action").is_in(
        KINDS
    )
    | pl.col("product_action").is_null(),
}
OF_SEARCHES = {
    f"{name} must be empty or a list like ['a', 'b']": pl.col(name).is_null()
    | pl.col(name).str.contains(r"^\[('\w+'(, ?'\w+')*)?\]$")
    for name in ("clicked_skus_hash", "product_skus_hash")
}
COUNTS = ("detail", "add", "purchase")
PART_BYTES = 1 << 26
LAST_PLACE = 50  # from which on places in a list are no longer told apart
LENGTH = 10


class Coveo(Dataset):
    """Each row is a product in a list of search results, clicked there, then carted or bought.

    What a session does to a product belongs to the last search before it that it was clicked in.
    """

    title = "Coveo, SIGIR eCom 2021"
    cite = "tagliabue2021sigir"
    licence = "Terms of the Coveo page: non-commercial research, no redistribution"
    claims = (
        "Impressions are the logged lists of search results, clicks are those on them, so methods "
        "for the entire space of searches apply. Products visited from elsewhere are no rows. "
        "macro is 1 if the last thing that the session did to its cart with the product, at or "
        "after the search, was to add it; conversion is 1 if it bought the product there and "
        "then. The window is the session, which ends after 30 idle minutes; the time of the click "
        "itself is unknown, that of its search stands for it. Actions on products that the session "
        "had not clicked in a search before are dropped and counted, and so are clicks on products "
        "that their list lacks, searches whose results are not logged, and exact duplicates of "
        "searches. Pages seen are no micro behaviour. The place in the list is taken for the "
        "ranking. The vectors of queries, texts and images are not used. There are no users. "
        "Timestamps were shifted by whole weeks. Splits follow each other by the start of the "
        "session (80/10/10), and sessions stay whole. No metric here is unbiased for what would "
        "have happened without a click."
    )
    stages = ("impression", "click", "macro", "conversion")
    categorical = ("item_id", "category", "price_bucket", "place", "hour", "weekday")
    numeric = (
        "log_list_size", "log_seconds_in_session", *(f"log_{kind}s" for kind in COUNTS),
        "log_same_item_details",
    )  # fmt: skip
    sequences = {"recent_items": ("item_id", LENGTH)}
    min_count = 5
    sources = (
        Source(
            file="SIGIR-ecom-data-challenge.zip",
            page="https://www.coveo.com/en/ailabs/sigir-ecom-data-challenge",
        ),
    )

    def table(self, raw: Path) -> pl.LazyFrame:
        paths = [find(raw, f"{name}_train.csv") for name in ("search", "browsing")]
        products = find(raw, "sku_to_content.csv")
        searches = scan_table(paths[0], SEARCHES, rules=GIVEN | OF_SEARCHES)
        actions = scan_table(paths[1], ACTIONS, rules=GIVEN | OF_ACTIONS)
        scratch = temporary_folder(self.scratch)
        parts = 1 + sum(path.stat().st_size for path in paths) // PART_BYTES
        query = pl.col("query_vector").hash(seed=0)  # does no more than tell searches apart
        numbered = searches.with_columns(query).with_row_index("group")
        search_parts = by_hash(numbered, SESSION, parts, scratch / "searches")
        action_parts = by_hash(actions, SESSION, parts, scratch / "actions")
        schema = _rows(search_parts[0].clear().collect(), action_parts[0].clear().collect()).schema
        shown = lazy_from_frames(lambda: map_in_order(_rows, search_parts, action_parts), schema)
        rows = split_by_time(stored(shown, scratch / "rows.parquet"), "session_start")
        content = unique(scan_table(products, PRODUCTS), "product_sku_hash", products)
        return rows.join(
            content.select("price_bucket", item_id="product_sku_hash", category="category_hash"),
            on="item_id", how="left", maintain_order="left",
        )  # fmt: skip


def _rows(searches: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Return the impressions of some sessions, and what is dropped."""
    distinct = searches.unique(pl.exclude("group"), keep="first", maintain_order=True)
    known = distinct.select(
        "group",
        who=SESSION,
        time=TIME,
        shown=_skus("product_skus_hash"),
        clicked=_skus("clicked_skus_hash"),
    )
    done = actions.select(
        who=SESSION, time=TIME, item_id="product_sku_hash", action="product_action"
    )
    shown = _shown(known.filter(pl.col("shown").list.len() > 0))
    last = _last_clicks(done, shown)
    elsewhere = known.select("group", item_id="clicked").explode("item_id").drop_nulls()
    lost = {
        "exact duplicate of another search": len(searches) - len(distinct),
        "search whose results are not logged": len(known) - shown["group"].n_unique(),
        "click on a product that its list lacks": len(
            elsewhere.join(shown, on=["group", "item_id"], how="anti")
        ),
    } | {
        f"{kind} of a product not clicked in a search before": len(
            last.filter(pl.col("group").is_null() & (pl.col("action") == kind))
        )
        for kind in ("add", "purchase")
    }
    outcomes = last.drop_nulls("group").group_by("group", "item_id").agg(
        macro=pl.col("action").filter(pl.col("action").is_in(["add", "remove"])).last() == "add",
        conversion=(pl.col("action") == "purchase").any(),
    )  # fmt: skip
    rows = shown.join(outcomes, on=["group", "item_id"], how="left", maintain_order="left")
    labelled = rows.with_columns(
        pl.when(pl.col("click") == 1).then(pl.col(label).fill_null(value=False).cast(pl.Int8))
        for label in ("macro", "conversion")
    )
    events = pl.concat([known.select("who", "time"), done.select("who", "time")])
    starts = events.group_by("who").agg(session_start=pl.col("time").min())
    kept = _with_past(labelled, done).join(starts, on="who", how="left", maintain_order="left")
    waited = (pl.col("time") - pl.col("session_start")) / 1000
    dropped = [pl.select(dropped=pl.repeat(rule, count)) for rule, count in lost.items()]
    return pl.concat(
        [kept.with_columns(log_seconds_in_session=waited.log1p()), *dropped], how="diagonal"
    )


def _skus(column: str) -> pl.Expr:
    """Return the hashes in the text of a list, each once."""
    return pl.col(column).fill_null("").str.extract_all(r"\w+").list.unique(maintain_order=True)


def _shown(searches: pl.DataFrame) -> pl.DataFrame:
    """Return one row per product of a list."""
    return (
        searches.with_columns(
            place=pl.int_ranges(1, pl.col("shown").list.len() + 1),
            log_list_size=pl.col("shown").list.len().cast(pl.Float64).log1p(),
        )
        .explode("shown", "place")
        .with_columns(
            click=pl.col("shown").is_in(pl.col("clicked")).cast(pl.Int8),
            place=pl.col("place").clip(upper_bound=LAST_PLACE),
        )
        .rename({"shown": "item_id"})
        .drop("clicked")
    )


def _last_clicks(actions: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """Return the actions in time order, each with the last search that its product was clicked in.

    That search is null where there is none at or before the action.
    """
    clicks = shown.filter(pl.col("click") == 1).select("who", "item_id", "time", "group")
    return actions.filter(pl.col("action").is_in(["add", "remove", "purchase"])).sort(
        "time", maintain_order=True
    ).join_asof(
        clicks.sort("time", "group"), on="time", by=["who", "item_id"], check_sortedness=False
    )  # fmt: skip


def _with_past(rows: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Add what the session had done before each search."""
    log = pl.concat([rows.select("who", "time", "item_id"), actions], how="diagonal")
    past, at = Past(log, "who"), np.arange(len(rows))
    did = {kind: (log["action"] == kind).fill_null(value=False).to_numpy() for kind in COUNTS}
    moment, same = pl.from_epoch("time", "ms"), Past(log, "who", "item_id").count(did["detail"])
    return rows.with_columns(
        *(pl.Series(f"log_{kind}s", np.log1p(past.count(did[kind])[at])) for kind in COUNTS),
        pl.Series("log_same_item_details", np.log1p(same[at])),
        past.last(log["item_id"], did["detail"], LENGTH, at).alias("recent_items"),
        hour=moment.dt.hour(),
        weekday=moment.dt.weekday(),
    )
