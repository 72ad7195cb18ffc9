"""REES46: users of three shops who view, cart and buy products."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import ValidationInfo, field_validator

from benchmark.configuration.mistakes import WrongValueError
from benchmark.dataset import EventLog, EventOptions, Source, find, given, scan_table

DATA = "https://data.rees46.com/datasets"
PAGES = {
    "electronics": f"{DATA}/electronics-events/electronics-events.csv.gz",
    "multi_category": "https://www.kaggle.com/datasets/mkechinov/"
    "ecommerce-behavior-data-from-multi-category-store",
    "cosmetics": "https://www.kaggle.com/datasets/mkechinov/"
    "ecommerce-events-history-in-cosmetics-shop",
}
SHA256 = "cbcbedc28c39a6b2add493bbbd9f71c061ad9d84087b85e64c442e4d47f418e7"
COSMETICS = ("2019-Oct", "2019-Nov", "2019-Dec", "2020-Jan", "2020-Feb")
MONTHS = {
    "electronics": (), "multi_category": (*COSMETICS, "2020-Mar", "2020-Apr"),
    "cosmetics": COSMETICS,
}  # fmt: skip
COLUMNS = {
    "event_time": pl.String, "event_type": pl.String, "product_id": pl.Int64,
    "category_id": pl.Int64, "category_code": pl.String, "brand": pl.String, "price": pl.Float64,
    "user_id": pl.Int64, "user_session": pl.String,
}  # fmt: skip
KINDS = ("view", "cart", "remove_from_cart", "purchase")
TIME = pl.col("event_time").str.to_datetime("%Y-%m-%d %H:%M:%S UTC", strict=False, time_unit="ms")
RULES = {
    **given("user_id", "product_id"),
    f"event_type must be one of {', '.join(KINDS)}": pl.col("event_type").is_in(KINDS),
    "event_time must be like 2019-10-01 00:00:00 UTC": TIME.is_not_null(),
}


class Rees46Options(EventOptions):
    """The options of REES46."""

    shop: Literal["electronics", "multi_category", "cosmetics"] = "electronics"
    """The shop whose events are read."""
    months: tuple[str, ...] | None = None
    """The months to read, in their order; null reads all."""

    @field_validator("months")
    @classmethod
    def _known(cls, months: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        known = MONTHS[info.data.get("shop", "electronics")]
        if months is None or (months and list(months) == [m for m in known if m in months]):
            return months
        some = f"a list of some of {', '.join(known)}, or null for all" if known else "null"
        raise WrongValueError("", f"it must be {some}")


class Rees46(EventLog):
    """Each row is a view of a product by a user; a cart or a purchase may follow."""

    title = "REES46"
    cite = "rees46"
    licence = "Free to use with attribution to REES46 (Open CDP), as its Kaggle pages say"
    claims = (
        "A log of clicks (views of products): nothing about impressions, CTR, CTCVR or selection "
        "by the click can be learned or claimed from it. A row is a user's view of a product in "
        "one shop (option shop), over all its months or some (option months); later views of it "
        "within the window (option window_days, 7) repeat the row. macro is 1 if in the window it "
        "was carted more often than removed from the cart, conversion if it was bought, at or "
        "after the view, attributed to the last row. Removals are logged in some shops and months "
        "only. The multi-category shop logged few carts in October 2019: macro is noise there. "
        "Carts and purchases outside the windows of all rows, exact duplicates and "
        "views of the last days, whose window the log cuts off, are dropped and counted. Counts "
        "start with the first month chosen. Splits follow each other in time (80/10/10), so users "
        "occur in several."
    )
    stages = ("click", "macro", "conversion")
    context = ("category_id", "category_code", "brand")
    measured = ("log_price",)
    min_count = 5
    options: Rees46Options

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        shop = self.options.shop
        self.months = self.options.months or MONTHS[shop]
        self.sources = _sources(shop, self.months)

    def events(self, raw: Path) -> pl.LazyFrame:
        """See :meth:`EventLog.events`."""
        kind, price = pl.col("event_type"), pl.col("price")
        stems = self.months or ("electronics-events",)
        files = [find(raw, f"{stem}.csv*") for stem in stems]
        return pl.concat([scan_table(path, COLUMNS, rules=RULES) for path in files]).select(
            "category_id", "category_code", "brand",
            session=pl.col("user_session").hash(seed=0),  # does no more than tell events apart
            who="user_id",
            item="product_id",
            time=TIME.dt.epoch("ms"),
            click=kind == "view",
            macro=(kind == "cart").cast(pl.Int8) - (kind == "remove_from_cart").cast(pl.Int8),
            conversion=(kind == "purchase").cast(pl.Int8),
            log_price=pl.when(price > 0).then(price.log()),
        )  # fmt: skip


def _sources(shop: str, months: tuple[str, ...]) -> tuple[Source, ...]:
    page = PAGES[shop]
    if shop == "electronics":
        return (Source(file=Path(page).name, page=page, url=page, sha256=SHA256),)
    if shop == "cosmetics":
        return tuple(Source(file=f"{month}.csv", page=page) for month in months)
    files = (f"{month}.csv.gz" for month in months)
    return tuple(Source(file=name, page=page, url=f"{DATA}/marketplace/{name}") for name in files)
