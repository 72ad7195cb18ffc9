"""JDsearch: products shown for one query per user, clicked, carted, bought."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.data.reading.layouts import starts_with
from benchmark.dataset import Dataset, Source, find, scan_table, split_by_hash, unique

PAGE = "https://github.com/rucliujn/JDsearch"
USERS = (
    "query", "candidate_wid_list", "candidate_label_list", "history_qry_list",
    "history_wid_list", "history_type_list", "history_time_list",
)  # fmt: skip
LEVELS = tuple(f"cate_id_{level}" for level in range(1, 5))
PRODUCTS = (
    "wid", "name", "brand_id", "brand_name",
    *(f"cate_{what}_{level}" for level in range(1, 5) for what in ("id", "name")),
    "shop_id",
)  # fmt: skip
FEATURES = ("brand_id", *LEVELS, "shop_id")
TERM = "\x18"  # between the terms of a query
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
LENGTH = 20


def _count(name: str) -> pl.Expr:
    return pl.col(name).str.count_matches("_", literal=True).fill_null(-1) + 1


RULES = {
    "candidate_wid_list must be ids between _": pl.col("candidate_wid_list").str.contains(
        r"^\d+(_\d+)*$"
    ),
    "candidate_label_list must be 0.0, 1.0, 2.0 or 3.0 between _, one per candidate": pl.col(
        "candidate_label_list"
    ).str.contains(r"^[0-3]\.0(_[0-3]\.0)*$")
    & (_count("candidate_wid_list") == _count("candidate_label_list")),
    "history_time_list must be seconds between _, one more than history_wid_list has ids": pl.col(
        "history_time_list"
    ).str.contains(r"^\d+(_\d+)*$")
    & (_count("history_time_list") == _count("history_wid_list") + 1),
}


class JDsearch(Dataset):
    """Each row is a product shown for a query; its label is the furthest stage that it reached."""

    title = "JDsearch"
    cite = "liu2023jdsearch"
    licence = "CC BY-NC-SA 4.0"
    claims = (
        "The displayed candidates (at most 200) of one query per user are impressions, so methods "
        "for the entire space apply. The log tells only the furthest stage that a product "
        "reached: 1 click, 2 cart, 3 purchase. That a product which was carted or bought was "
        "clicked, and one that was bought was carted (macro), is an assumption: some are bought "
        "without the cart, and macro metrics inherit it. The attribution window is not "
        "published. There is no absolute time: users, of whom each has one query, are split by a "
        "hash (80/10/10), so no user is in two splits, but train is not before test. Candidates "
        "are listed with those of the highest label first: their order is not the displayed one "
        "and would tell the label, so it is no feature and rows are ordered by id. Histories are "
        "the products, and their third-level categories, that the user dealt with before the "
        "query, by whatever behaviour. Some products have no description. No metric here is "
        "unbiased for what would have happened without a click."
    )
    stages = ("impression", "click", "macro", "conversion")
    categorical = ("query", "query_head", "item_id", *FEATURES, "dealt_before")
    numeric = ("log_query_terms", "log_history", "log_seconds_since")
    sequences = {
        "recent_items": ("item_id", LENGTH), "recent_categories": ("cate_id_3", LENGTH),
    }  # fmt: skip
    sources = (Source(file="JDsearch.tar.gz", page=PAGE),)
    min_count = 5

    def table(self, raw: Path) -> pl.LazyFrame:
        products = _scan(find(raw, "product_meta_data*.txt"), PRODUCTS, key="wid")
        users = _scan(find(raw, "user_behavior_data*.txt"), USERS, RULES).with_row_index("group")
        label = pl.col("label")
        return (
            _candidates(users)
            .join(_recent_categories(users, products), on="group", how="left",
                  maintain_order="left")
            .join(products.select(pl.col("wid").alias("item_id"), *FEATURES), on="item_id",
                  how="left", maintain_order="left")
            .with_columns(
                dropped=pl.when(~pl.col("first")).then(pl.lit("repeated candidate")),
                dealt_before=pl.col("recent_items").list.contains(pl.col("item_id")).cast(pl.Int8),
                click=(label >= "1").cast(pl.Int8),
                macro=pl.when(label >= "1").then(label >= "2").cast(pl.Int8),
                conversion=pl.when(label >= "1").then(label >= "3").cast(pl.Int8),
            )
        )  # fmt: skip


def _scan(
    path: Path,
    columns: tuple[str, ...],
    rules: dict[str, pl.Expr] | None = None,
    key: str | None = None,
) -> pl.LazyFrame:
    """Scan a table; some copies have a header, others do not."""
    header = starts_with(path, f"{columns[0]}\t")
    types = dict.fromkeys(columns, pl.String)
    table = scan_table(path, types, separator="\t", header=header, quote=None, rules=rules)
    return unique(table, key, path, first_line=1 + header) if key else table


def _candidates(users: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per candidate, by id, with what is known of its query and its user."""
    items, labels, history, waits = (
        pl.col(name).str.split("_")
        for name in ("candidate_wid_list", "candidate_label_list", "history_wid_list",
                     "history_time_list")
    )  # fmt: skip
    order = items.list.eval(pl.element().arg_sort())
    line = pl.concat_str("query", "candidate_wid_list", "history_wid_list", ignore_nulls=True)
    return (
        users.with_columns(order=order)
        .select(
            "group",
            "query",
            split=split_by_hash(line, SHARES),
            query_head=pl.col("query").str.split(TERM).list.last(),
            log_query_terms=pl.col("query").str.split(TERM).list.len().log(),
            item_id=items.list.gather(pl.col("order")),
            label=labels.list.gather(pl.col("order")),
            log_history=history.list.len().fill_null(0).log1p(),
            log_seconds_since=waits.list.last().cast(pl.Float64).log1p(),
            recent_items=history.list.tail(LENGTH).fill_null([]),
        )
        .with_columns(first=pl.col("item_id").list.eval(pl.element().is_first_distinct()))
        .explode("item_id", "label", "first")
    )


def _recent_categories(users: pl.LazyFrame, products: pl.LazyFrame) -> pl.LazyFrame:
    return (
        users.select("group", wid=pl.col("history_wid_list").str.split("_").list.tail(LENGTH))
        .explode("wid")
        .join(products.select("wid", "cate_id_3"), on="wid", how="left", maintain_order="left")
        .group_by("group", maintain_order=True)
        .agg(recent_categories=pl.col("cate_id_3").drop_nulls())
    )
