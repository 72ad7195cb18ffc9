"""CASCADE: clicks on items of Taobao, when they were paid for, and when the money went back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import polars as pl

from benchmark.dataset import (
    Dataset,
    Field,
    Options,
    Source,
    Span,
    find_all,
    scan_table,
    seconds,
    span,
    split_by_time,
)

DAY = 86_400
FEATURES = tuple(f"feature_{i}" for i in range(22))
TYPES = {
    "click_time": pl.Int64,
    **dict.fromkeys(("pay_times", "refund_times", *FEATURES), pl.String),
}
TIME = r"-?\d{1,11}"  # with a digit more, it counts milliseconds
LIST = rf"^\[\s*({TIME}(\s*,\s*{TIME})*)?\s*\]$"
RULES = {
    **seconds("click_time"),
    **{
        f"{name} must be empty or a list of seconds like [1746028800]": pl.col(name).is_null()
        | pl.col(name).str.contains(LIST)
        for name in ("pay_times", "refund_times")
    },
}
CUT_OFF = "click whose window the end of the log cuts off"


class CascadeOptions(Options):
    """The options of CASCADE."""

    conversion: Literal["payment", "kept payment"] = "payment"
    """What converts a click: a payment, or one that is not refunded within refund_days."""
    window_days: float = Field(3, ge=0.01, le=25)
    """How many days after its click a payment counts."""
    refund_days: float = Field(7, ge=0.01, le=25)
    """How many days after a payment a refund counts; read for kept payments only."""


class Cascade(Dataset):
    """Each row is a click on an item; a payment converts it, and a refund may take that back.

    Evidence: the publisher's own reader (NetCVR) shows that files are tab-separated text without a
    header, the order of their 25 columns, the unit of times, that the first value of each list
    counts, and that the clicks are from 1 to 25 May 2025. No row was at hand: names of the
    files, meanings of the features and whether payments are awaited beyond the last click are not
    known, and no checksum is published where we could read it.
    """

    title = "CASCADE (payments and refunds)"
    cite = "luo2026modeling"
    licence = "Apache 2.0"
    claims = (
        "A log of clicks: nothing about impressions, CTR, CTCVR or selection by the click can be "
        "learned or claimed from it; what it is for is delayed feedback in two steps. A click "
        "converts if a payment follows within the window of option window_days (3). With option "
        "conversion: kept payment, it does only if no refund follows that payment within "
        "refund_days (7); as that is known only when these are over, the table then has no times "
        "and methods for delayed feedback are skipped. Of several payments the first in the "
        "list counts, as for the publisher. A payment or refund before what it belongs to counts "
        "as none. The log is taken to end with its last click, payment or refund: clicks whose "
        "windows are not over by then are dropped and counted. What the 22 features mean is not "
        "disclosed, nor whether all were known at the click; of a feature with several values the "
        "first is read. No field is known to be the user, so there are no groups and no "
        "histories. How clicks were sampled is not stated: rates are those of the sample. The "
        "hour is UTC. Splits follow each other in time (80/10/10). Nothing was shown at random."
    )
    stages = ("click", "conversion")
    categorical = (*FEATURES, "hour")
    min_count = 10
    sources = (
        Source(
            file="CASCADE, .txt files",
            page="https://huggingface.co/datasets/alimamaTech/CASCADE/tree/main",
        ),
    )
    options: CascadeOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.window = round(self.options.window_days * DAY)
        self.wait = self.window
        if self.options.conversion == "payment":
            self.attribution_window = float(self.window)
        else:
            self.wait += round(self.options.refund_days * DAY)

    def table(self, raw: Path) -> pl.LazyFrame:
        rows = pl.concat(_clicks(path) for path in find_all(raw, "*.txt"))
        clicked, paid, back = (pl.col(name) for name in ("clicked", "paid", "refunded"))
        until = pl.max_horizontal(clicked, paid, back)
        log = span(rows.select(until), self.wait) or Span(0, 0)
        if log.last - log.first <= self.wait:
            raise log.too_short(self.title, self.wait)
        converted = (paid - clicked).is_between(0, self.window).fill_null(value=False)
        times = {
            "click_time": clicked,
            "conversion_delay": pl.when(converted).then(paid - clicked),
        }
        if self.options.conversion == "kept payment":
            lasts = round(self.options.refund_days * DAY)
            times = {}
            converted &= ~(back - paid).is_between(0, lasts).fill_null(value=False)
        inside, whole = log.holds(until), clicked + self.wait <= log.last
        known = rows.select(
            *FEATURES,
            hour=pl.from_epoch(clicked).dt.hour(),
            conversion=converted.cast(pl.Int8),
            start=pl.when(inside & whole).then(clicked),
            dropped=pl.when(~inside).then(pl.lit(log.rule)).when(~whole).then(pl.lit(CUT_OFF)),
            **times,
        )
        return split_by_time(known, "start").drop("start")


def _clicks(path: Path) -> pl.LazyFrame:
    """Scan a file; of each list its first value is read, where it stands for something."""
    rows = scan_table(path, TYPES, separator="\t", header=False, quote=None, rules=RULES)
    first = {
        to: pl.col(name).str.extract(r"(-?\d+)").cast(pl.Int64)
        for name, to in (("pay_times", "paid"), ("refund_times", "refunded"))
    }
    return rows.select(
        *(pl.col(name).str.strip_chars("[] ").str.split(",").list.first().str.strip_chars(" '\"")
          for name in FEATURES),
        clicked="click_time",
        **{name: pl.when(time > 0).then(time) for name, time in first.items()},
    )  # fmt: skip
