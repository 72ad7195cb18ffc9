"""MerRec: what users of the marketplace Mercari did to listings, in months of shards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import field_validator

from benchmark.configuration.allowed import Allowed
from benchmark.configuration.mistakes import WrongValueError
from benchmark.dataset import (
    DataError,
    EventLog,
    EventOptions,
    Source,
    WindowDays,
    checked_parquet,
    find,
    locate_parquet_errors,
    same_types,
)

PAGE = "https://huggingface.co/datasets/mercari-us/merrec"
MONTHS = tuple(f"2023{month:02}01" for month in range(5, 11))
CLICK, CONVERSION = "item_view", "buy_comp"
MACRO = ("item_like", "item_add_to_cart_tap", "offer_make", "buy_start")
KINDS = (CLICK, *MACRO, CONVERSION)
CODES = (
    "product_id", "c0_id", "c1_id", "c2_id", "brand_id", "item_condition_id", "size_id",
    "shipper_id", "color",
)  # fmt: skip
COLUMNS = ("user_id", "item_id", "event_id", "stime", "price", *CODES)
SHARDS = f"a list of different shards like {MONTHS[0]}/0"
SHARD = re.compile(rf"({'|'.join(MONTHS)})/(0|[1-9][0-9]{{0,2}})")


class MerRecOptions(EventOptions):
    """The options of MerRec."""

    window_days: WindowDays = 3
    shards: Annotated[tuple[str, ...], Allowed(SHARDS)] = ("20230501/0",)
    """The shards to read, as month/number."""

    @field_validator("shards")
    @classmethod
    def _known(cls, shards: tuple[str, ...]) -> tuple[str, ...]:
        if not shards or len(set(shards)) < len(shards) or not all(map(SHARD.fullmatch, shards)):
            raise WrongValueError("", f"it must be {SHARDS}")
        return shards


class MerRec(EventLog):
    """Each row is a view of a listing; a like, cart, offer or purchase may follow."""

    title = "MerRec"
    cite = "li2024merrec"
    licence = "CC BY-NC 4.0"
    claims = (
        "A log of clicks (views of listings): nothing about impressions, CTR, CTCVR or selection "
        "by the click can be learned or claimed from it. Only some shards of the log are read "
        "(option shards, month/number), each with all that some users did in a month: counts of "
        "an item or product are those among these users. A row is a user's view of a listing; "
        "later views of it within the window (option window_days, 3) repeat the row. macro (like, "
        "cart, offer or start of a purchase) and conversion (completed purchase) are 1 if they "
        "follow at or after the view within the window, attributed to the last row. A like is no "
        "micro behaviour: it is not on a part of the page. Actions outside the windows of "
        "all rows, exact duplicates, and views of the last days, whose window the log "
        "cuts off, are dropped and counted. A listing is one piece and sells once, so its id is no "
        "feature; the product's id is. Counts start with the first month chosen. Splits follow "
        "each other in time (80/10/10), so users occur in several."
    )
    stages = ("click", "macro", "conversion")
    context = CODES
    measured = ("log_price",)
    ids = ("user_id",)
    min_count = 5
    options: MerRecOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sources = tuple(map(_source, self.options.shards))

    def events(self, raw: Path) -> pl.LazyFrame:
        """See :meth:`EventLog.events`."""
        kind, price = pl.col("event_id"), pl.col("price").cast(pl.Float64)
        paths = [find(raw, source.file) for source in self.sources]
        return pl.concat(same_types({path: _scan(path) for path in paths}).values()).select(
            *(pl.col(code).cast(pl.String) for code in CODES),
            who="user_id",
            item="item_id",
            time=pl.col("stime").dt.epoch("ms"),
            click=kind == CLICK,
            macro=kind.is_in(MACRO).cast(pl.Int8),
            conversion=(kind == CONVERSION).cast(pl.Int8),
            log_price=pl.when(price > 0).then(price.log()),
            record="record",
        )


def _source(shard: str) -> Source:
    """Return a shard under a name that tells its month, which the log's own name does not."""
    month, number = shard.split("/")
    name = f"{int(number):012}.parquet"
    return Source(file=f"{month}-{name}", page=PAGE, url=f"{PAGE}/resolve/main/{month}/{name}")


def _scan(path: Path) -> pl.LazyFrame:
    """Scan a shard, after a look at its columns and at every kind of event."""
    shard = checked_parquet(path, COLUMNS, kinds={"stime": "a time in UTC"})
    known = pl.col("event_id").is_in(KINDS).fill_null(value=False)
    wrong = shard.with_row_index("row", 1).filter(~known).select("row", "event_id").head(1)
    with locate_parquet_errors(path):
        for row, kind in wrong.collect().iter_rows():
            raise DataError(
                f"{path}, row {row}: event_id {kind!r} is not one of {', '.join(KINDS)}"
            )
    record = pl.struct(pl.all()).hash(seed=0)  # does no more than tell events apart
    return shard.select(*COLUMNS, record=record)
