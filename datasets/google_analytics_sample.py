"""Google Analytics sample: products in the lists of a shop, clicked, viewed, carted, bought."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl

from benchmark.data.partitions import stored
from benchmark.data.reading.layouts import Types
from benchmark.dataset import (
    DataError,
    Dataset,
    Options,
    Source,
    find_all,
    scan_json_lines,
    seconds,
    split_by_time,
)

ACTIONS = tuple(str(code) for code in range(9))  # 2 detail, 3 add, 4 remove, 5 checkout, 6 purchase
UNKNOWN = ("", "(not set)", "(not provided)", "not available in demo dataset", "${escCatTitle}")
PRODUCT = pl.Struct(
    {
        "v2ProductName": pl.String, "v2ProductCategory": pl.String, "productPrice": pl.String,
        "isImpression": pl.Boolean, "isClick": pl.Boolean, "productListName": pl.String,
        "productListPosition": pl.String,
    }
)  # fmt: skip
HIT = pl.Struct(
    {
        "hitNumber": pl.String,
        "eCommerceAction": pl.Struct({"action_type": pl.String}),
        "product": pl.List(PRODUCT),
    }
)
SESSION: Types = {  # the export writes integers as strings, other tools as numbers
    **dict.fromkeys(("fullVisitorId", "visitId", "visitNumber", "visitStartTime"), pl.String),
    "date": pl.String,
    "channelGrouping": pl.String,
    "device": pl.Struct({"deviceCategory": pl.String, "operatingSystem": pl.String}),
    "geoNetwork": pl.Struct({"country": pl.String}),
    "hits": pl.List(HIT),
}


def _every(fact: pl.Expr) -> pl.Expr:
    """Whether something is true of every hit of a session."""
    return pl.col("hits").list.eval(fact.fill_null(value=False)).list.all()


def _whole(number: pl.Expr) -> pl.Expr:
    return number.cast(pl.Int64, strict=False) > 0


_NAMED = pl.element().struct.field("v2ProductName").is_not_null()
RULES = {
    **{f"{n} must be given": pl.col(n).is_not_null() for n in ("fullVisitorId", "visitId", "hits")},
    **seconds("visitStartTime"),
    "hitNumber must be a whole number from 1 up": _every(
        _whole(pl.element().struct.field("hitNumber"))
    ),
    f"action_type must be one of {', '.join(ACTIONS)}": _every(
        pl.element()
        .struct.field("eCommerceAction")
        .struct.field("action_type")
        .fill_null("0")
        .is_in(ACTIONS)
    ),
    "v2ProductName must be given": _every(
        pl.element().struct.field("product").list.eval(_NAMED).list.all().fill_null(value=True)
    ),
}
ENDS = {"purchase": "6", "checkout": "5"}
NEVER = "product {} in a session that had not shown it in a list before"


class GoogleAnalyticsSampleOptions(Options):
    """The options of the Google Analytics sample."""

    conversion: Literal["purchase", "checkout"] = "purchase"
    """The step that counts as the conversion; the checkout is a proxy with more positives."""


class GoogleAnalyticsSample(Dataset):
    """A product that a session saw in a list; its click, detail view, cart and purchase there.

    Evidence: the layout is that of BigQuery's export; 2,738 whole sessions of it were read, whose
    impressions, clicks and actions have the counts of their source. The whole was not at hand.
    """

    title = "Google Analytics sample (Google Merchandise Store)"
    cite = "google_analytics_sample"
    licence = "Google's public sample on BigQuery, whose terms apply; an account is needed"
    claims = (
        "The whole funnel of a product is logged: shown in a list with its place, clicked, its "
        "details viewed, put into the cart, bought; so methods for the entire space apply. A row "
        "is a product in a session, by its name, as its variants have ids of their own; features "
        "are those of the first list that showed it. click is 1 if the session clicked on it in a "
        "list at or after that; micro (details viewed), macro (put into the cart more often than "
        "taken out) and conversion (bought, or option conversion: checkout, a proxy) are 1 if "
        "they follow the first such click in the session. A click before the first list that "
        "showed the product is none, as in a session whose record begins with it. Which of "
        "several lists led to the "
        "click is not told apart, and the window is the session, so a purchase on another day "
        "counts for nothing. micro is close to the click: most clicks open a quick view of the "
        "details, and it is no action on a part of the page. What happened to products that no "
        "list had shown before is dropped and counted, and so is a product bought without a click "
        "in a list. Sessions of equal visitor, visit and date are one. There are few purchases. "
        "Splits follow each other by the start of the session (80/10/10). The lists come from a "
        "shop's own order and nothing was shown at random, so no metric here is unbiased for what "
        "would have happened without a click."
    )
    stages = ("impression", "click", "micro", "macro", "conversion")
    categorical = (
        "item_id", "category", "list", "place", "device", "system", "country", "channel", "hour",
        "weekday",
    )  # fmt: skip
    numeric = ("log_price", "log_visits", "log_hits_before")
    min_count = 2
    sources = (
        Source(
            file="ga_sessions.jsonl.gz",
            page="https://console.cloud.google.com/marketplace/product/obfuscated-ga360-data/obfuscated-ga360-data",
        ),
    )
    options: GoogleAnalyticsSampleOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.proxy_label = "checkout" if self.options.conversion == "checkout" else None

    def table(self, raw: Path) -> pl.LazyFrame:
        """Return the products of each file's sessions: none spans files, as tables are of days."""
        end = ENDS[self.options.conversion]
        parts = {
            path: stored(_rows(path, end), self.scratch / "files" / f"{number:05}.parquet")
            for number, path in enumerate(find_all(raw, "ga_sessions*"))
        }
        _check_sessions(parts)
        timed = pl.when(pl.col("dropped").is_null()).then("started")
        return split_by_time(pl.concat(parts.values()).with_columns(timed), "started")


def _check_sessions(parts: Mapping[Path, pl.LazyFrame]) -> None:
    """Check that no session is in two files, which would count it twice.

    Raises:
        DataError: one is, as where an export lies there as one file and in parts.
    """
    sessions = pl.concat(
        rows.select("group", file=pl.lit(str(path))).unique() for path, rows in parts.items()
    )
    files = sessions.group_by("group").agg(pl.col("file").sort())
    twice = files.filter(pl.col("file").list.len() > 1).sort("group").head(1).collect()
    for session, (first, second, *_) in twice.iter_rows():
        raise DataError(f"{second} has session {session}, which is in {first} too; remove one")


def _rows(path: Path, end: str) -> pl.LazyFrame:
    """Return the products of the sessions in a file, in the order in which they occur."""
    key = ("group", "item_id")
    actions = _actions(scan_json_lines(path, SESSION, rules=RULES))
    hit, did = pl.col("hit"), pl.col("did")
    shown = hit.filter(did == "shown").min().over(key)
    clicked = hit.filter(did == "click", hit >= pl.col("shown_at")).min().over(key)
    dated = actions.with_columns(shown_at=shown).with_columns(clicked_at=clicked)
    first, after = (did == "shown") & (hit == pl.col("shown_at")), hit >= pl.col("clicked_at")
    context = [
        name
        for name in dated.collect_schema()
        if name not in (*key, "hit", "did", "shown_at", "clicked_at")
    ]
    cells = dated.group_by(key, maintain_order=True).agg(
        pl.col(context).filter(first).first(),
        pl.col("shown_at", "clicked_at").first(),
        micro=((did == "2") & after).any(),
        macro=((did == "3") & after).sum() > ((did == "4") & after).sum(),
        conversion=((did == end) & after).any(),
        ended=(did == end).any(),
        carted=(did == "3").any(),
        clicked=(did == "click").any(),
    )
    return cells.filter(_is_of_interest()).select(
        *key, *context,
        *(
            pl.when(pl.col("clicked_at").is_not_null()).then(pl.col(label)).cast(pl.Int8)
            for label in ("micro", "macro", "conversion")
        ),
        click=pl.col("clicked_at").is_not_null().cast(pl.Int8),
        log_hits_before=(pl.col("shown_at") - 1).log1p(),
        dropped=_dropped(),
    )  # fmt: skip


def _is_of_interest() -> pl.Expr:
    return pl.col("shown_at").is_not_null() | pl.any_horizontal("ended", "carted", "clicked")


def _dropped() -> pl.Expr:
    """Return by which rule a product of a session is no row."""
    unseen = pl.col("shown_at").is_null()
    return (
        pl.when(unseen & pl.col("ended"))
        .then(pl.lit(NEVER.format("converted")))
        .when(unseen & pl.col("carted"))
        .then(pl.lit(NEVER.format("carted")))
        .when(unseen)
        .then(pl.lit(NEVER.format("clicked on")))
        .when(pl.col("ended") & pl.col("clicked_at").is_null())
        .then(pl.lit("product that converted without a click in a list"))
    )


def _actions(sessions: pl.LazyFrame) -> pl.LazyFrame:
    """Return what sessions did to products: one row per product of a hit."""
    started = pl.from_epoch(pl.col("visitStartTime").cast(pl.Int64))
    position = pl.col("productListPosition").cast(pl.Int32, strict=False)
    price = pl.col("productPrice").cast(pl.Float64, strict=False) / 1e6
    return (
        sessions.select(
            "hits",
            group=pl.concat_str("date", "fullVisitorId", "visitId", separator="/"),
            started=started,
            hour=started.dt.hour(),
            weekday=started.dt.weekday(),
            log_visits=pl.col("visitNumber").cast(pl.Float64, strict=False).log1p(),
            device=_known(pl.col("device").struct.field("deviceCategory")),
            system=_known(pl.col("device").struct.field("operatingSystem")),
            country=_known(pl.col("geoNetwork").struct.field("country")),
            channel=_known(pl.col("channelGrouping")),
        )
        .explode("hits")
        .unnest("hits")
        .explode("product")
        .drop_nulls("product")
        .unnest("product")
        .select(
            "group", "started", "hour", "weekday", "log_visits", "device", "system", "country",
            "channel",
            item_id="v2ProductName",
            hit=pl.col("hitNumber").cast(pl.Int32),
            did=pl.when("isImpression").then(pl.lit("shown")).when("isClick").then(pl.lit("click"))
            .otherwise(pl.col("eCommerceAction").struct.field("action_type")),
            category=_known(pl.col("v2ProductCategory")),
            list=_known(pl.col("productListName")),
            place=position,
            log_price=pl.when(price > 0).then(price.log1p()),
        )
    )  # fmt: skip


def _known(text: pl.Expr) -> pl.Expr:
    return pl.when(~text.is_in(UNKNOWN)).then(text)
