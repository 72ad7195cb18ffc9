"""Tmall (IJCAI-15): half a year of clicks, favourites, carts and purchases, known by the day."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.dataset import EventLog, Source, find, given, scan_table, unique

LOG = {
    "user_id": pl.Int64, "item_id": pl.Int64, "cat_id": pl.Int64, "seller_id": pl.Int64,
    "brand_id": pl.Int64, "time_stamp": pl.String, "action_type": pl.Int64,
}  # fmt: skip
USERS = {"user_id": pl.Int64, "age_range": pl.Int64, "gender": pl.Int64}
CLICK, CART, PURCHASE, FAVOURITE = range(4)
YEAR = 2014  # nothing depends on it: times are differences of days from May to November
DATE = pl.format("{}-{}", pl.lit(YEAR), pl.col("time_stamp").str.zfill(4))
DAY = DATE.str.to_datetime("%Y-%m%d", strict=False, time_unit="ms")
RULES = {
    **given("user_id", "item_id"),
    "action_type must be 0, 1, 2 or 3": pl.col("action_type").is_in([0, 1, 2, 3]),
    "time_stamp must be a month and a day, like 829 or 1111": DAY.is_not_null(),
}


class Tmall(EventLog):
    """Each row is a click on an item by a user; a favourite, cart or purchase may follow."""

    title = "Tmall, IJCAI-15"
    cite = "tmall_ijcai15"
    licence = "Terms of the Tianchi page; an account is needed"
    claims = (
        "A log of clicks: nothing about impressions, CTR, CTCVR or selection by the click can be "
        "learned or claimed from it. A row is a user's click on an item; later clicks on it within "
        "the window (option window_days, 7) repeat the row. macro (cart or favourite) and "
        "conversion (purchase) are 1 if they happen on the day of the click or later within the "
        "window, attributed to the last row. Times are days: which came first on one day is "
        "unknown, so 'after the click' cannot be verified there, and features know earlier days "
        "only. Actions outside the windows of all rows, exact duplicates (repeated "
        "actions of one day), and clicks of the last days, whose window the log cuts off, are "
        "dropped and counted: the sale of 11 November is only what follows clicks of the week "
        "before. Users are those of a challenge about the buyers of that day. Age and gender (0 "
        "and 2 where unknown) are as of the log's publication. Splits follow each other in time "
        "(80/10/10), so users occur in several."
    )
    stages = ("click", "macro", "conversion")
    context = ("cat_id", "seller_id", "brand_id", "age_range", "gender")
    clock = ()
    min_count = 5
    sources = (Source(file="data_format1.zip", page="https://tianchi.aliyun.com/dataset/42"),)

    def events(self, raw: Path) -> pl.LazyFrame:
        """See :meth:`EventLog.events`."""
        action = pl.col("action_type")
        path = find(raw, "user_info_format1.csv")
        users = unique(scan_table(path, USERS), "user_id", path)
        log = scan_table(find(raw, "user_log_format1.csv"), LOG, rules=RULES)
        return log.join(users, on="user_id", how="left").select(
            *self.context,
            who="user_id",
            item="item_id",
            time=DAY.dt.epoch("ms"),
            click=action == CLICK,
            macro=action.is_in([CART, FAVOURITE]).cast(pl.Int8),
            conversion=(action == PURCHASE).cast(pl.Int8),
            kind=action,
        )
