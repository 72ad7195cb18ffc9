"""Taobao user behaviour: nine days of page views, favourites, carts and purchases."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.data.reading.event_log import SECOND
from benchmark.dataset import EventLog, EventOptions, Source, WindowDays, find, given, scan_table

COLUMNS = {
    "who": pl.Int64, "item": pl.Int64, "category": pl.Int64, "behaviour": pl.String,
    "time": pl.Int64,
}  # fmt: skip
KINDS = ("pv", "buy", "cart", "fav")
RULES = {
    **given("who", "item", "time"),
    f"behaviour must be one of {', '.join(KINDS)}": pl.col("behaviour").is_in(KINDS),
}
PERIOD = (1_511_539_200 * SECOND, 1_512_316_800 * SECOND)  # 2017-11-25 to 12-03, in China


class TaobaoOptions(EventOptions):
    """The options of Taobao."""

    window_days: WindowDays = 1


class Taobao(EventLog):
    """Each row is a page view of an item; a favourite, cart or purchase may follow."""

    title = "Taobao user behaviour"
    cite = "taobao_user_behavior"
    licence = "Terms of the Tianchi page"
    claims = (
        "A log of clicks (page views): nothing about impressions, CTR, CTCVR or selection by the "
        "click can be learned or claimed from it. A row is a user's page view of an item; later "
        "views of it within the window (option window_days, 1 of the nine days) repeat the row. "
        "macro (cart or favourite) and conversion (purchase) are 1 if they follow at or after the "
        "view within the window, attributed to the last row. Many purchases have no logged view "
        "(a fifth in a copy of the log): like all actions outside the windows of all rows, they "
        "are dropped and counted. Events outside of 25 November to 3 December 2017, China time, "
        "exact duplicates, and views of the last day, whose window the log cuts off, are dropped "
        "and counted. Counts start with the log. Splits follow each other in time (80/10/10), so "
        "users occur in several."
    )
    stages = ("click", "macro", "conversion")
    context = ("category",)
    min_count = 5
    period = PERIOD
    options: TaobaoOptions
    sources = (
        Source(
            file="UserBehavior.csv.zip",
            page="https://tianchi.aliyun.com/dataset/649",
            url="https://alicloud-dev.oss-cn-hangzhou.aliyuncs.com/UserBehavior.csv.zip",
        ),
    )

    def events(self, raw: Path) -> pl.LazyFrame:
        """See :meth:`EventLog.events`."""
        kind = pl.col("behaviour")
        events = scan_table(find(raw, "UserBehavior.csv"), COLUMNS, header=False, rules=RULES)
        return events.with_columns(
            time=pl.col("time") * SECOND,
            click=kind == "pv",
            macro=kind.is_in(["cart", "fav"]).cast(pl.Int8),
            conversion=(kind == "buy").cast(pl.Int8),
        )
