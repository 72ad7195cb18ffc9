"""Criteo attribution: banners of a month, seen, clicked, and bought after the last click."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from benchmark.dataset import (
    Dataset,
    Field,
    History,
    Options,
    Source,
    Span,
    find,
    scan_table,
    span,
    split_by_time,
    with_clicked_before,
)

HOME = "https://huggingface.co/datasets/criteo/criteo-attribution-dataset"
FILE = "criteo_attribution_dataset.tsv.gz"
DAY = 86_400
CONTEXT = ("campaign", *(f"cat{i}" for i in range(1, 10)))
FLAGS = ("click", "conversion", "attribution")
NUMBERS = ("timestamp", "conversion_timestamp", "click_pos", "click_nb", "time_since_last_click")
TYPES: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("uid", *CONTEXT), pl.String),
    **dict.fromkeys(FLAGS, pl.Int8),
    **dict.fromkeys(NUMBERS, pl.Int64),
}
DELAY = pl.col("conversion_timestamp") - pl.col("timestamp")
RULES = {
    **{f"{flag} must be 0 or 1": pl.col(flag).is_in([0, 1]) for flag in FLAGS},
    "timestamp must be an integer from 0 up": pl.col("timestamp") >= 0,
    "conversion_timestamp must be -1 if and only if conversion is 0": (pl.col("conversion") == 1)
    == pl.col("conversion_timestamp").is_not_null(),
    "conversion_timestamp must not be before timestamp": DELAY.fill_null(0) >= 0,
    "attribution must be 0 where conversion is 0": pl.col("attribution") <= pl.col("conversion"),
    "time_since_last_click must be -1 or from 0 up": pl.col("time_since_last_click").fill_null(0)
    >= 0,
}
LAST_CLICK = pl.col("click_pos") == pl.col("click_nb") - 1
CUT_OFF = "impression whose window the end of the log cuts off"


class CriteoAttributionOptions(Options):
    """The options of Criteo attribution."""

    window_days: float | None = Field(7, ge=0.01, le=29)
    """How many days after its click a conversion counts; null: the log's own 30, without times."""
    history: History = 10


class CriteoAttribution(Dataset):
    """Each row is a banner on a page; a sale is attributed to the last click before it."""

    title = "Criteo attribution"
    cite = "diemert2017attribution"
    licence = "CC BY-NC-SA 4.0; terms on the page, which ask to share contact details"
    claims = (
        "Impression, click and conversion are logged for 30 days, so methods for the entire space "
        "apply. Criteo sub-sampled the log by a rule that is not published: CTR, CVR and "
        "calibration are those of the sample, not of the traffic. The log marks every banner in "
        "the 30 days before a sale; here only the last click before it converts, only if the sale "
        "was attributed to Criteo, and only within the window of option window_days (7: methods "
        "for delayed feedback need a train split longer than the window; null: the log's own 30 "
        "days, without times). So sales without a click and those won by another advertiser are "
        "none. Delays count from the banner, as the time of its click is not logged. Rows whose "
        "window outlasts the log are dropped (with null none is, and the last ones have too few "
        "conversions), others split in time (80/10/10); the time of day "
        "has an unknown offset. Costs, click_pos, click_nb and conversion_id are set by the "
        "auction or the outcome and are no features. Nothing was shown at random."
    )
    stages = ("impression", "click", "conversion")
    categorical = (*CONTEXT, "hour")
    numeric = ("log_since_click",)
    sources = (Source(file=FILE, page=HOME, url=f"{HOME}/resolve/main/{FILE}"),)
    min_count = 10
    options: CriteoAttributionOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        days = self.options.window_days
        self.attribution_window = None if days is None else float(days * DAY)
        if length := self.options.history:
            self.sequences = {"clicked_campaigns": ("campaign", length)}

    def table(self, raw: Path) -> pl.LazyFrame:
        path = find(raw, f"{FILE.removesuffix('.gz')}*")
        rows = scan_table(path, TYPES, separator="\t", null_values=("-1",), rules=RULES).select(
            *CONTEXT,
            "click",
            who="uid",
            time="timestamp",
            known_until=pl.max_horizontal("timestamp", "conversion_timestamp"),
            delay=pl.when(LAST_CLICK, click=1, attribution=1).then(DELAY),
            log_since_click=pl.col("time_since_last_click").log1p(),
        )
        return self._labelled(with_clicked_before(rows, self.sequences, path, self.scratch))

    def _labelled(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        time, delay, window = pl.col("time"), pl.col("delay"), self.attribution_window
        clicked, whole, times = pl.when(click=1), pl.lit(value=True), {}
        converted, until = delay.is_not_null(), pl.col("known_until")
        log = span(rows.select(until), window or DAY, dated=False) or Span(0, 0)
        log.check_unit(self.title)
        inside = log.holds(until)
        if window is not None:
            converted = (delay <= window).fill_null(value=False)
            if log.last - log.first <= window:
                raise log.too_short(self.title, window)
            whole = time + window <= log.last
            times = {
                "click_time": clicked.then(time),
                "conversion_delay": pl.when(converted).then(delay),
            }
        start = pl.when(whole & inside).then(time)
        rows = split_by_time(rows.with_columns(start=start), "start")
        return rows.with_columns(
            group="who",
            hour=time // 3600 % 24,
            conversion=clicked.then(converted).cast(pl.Int8),
            dropped=pl.when(~inside).then(pl.lit(log.rule)).when(~whole).then(pl.lit(CUT_OFF)),
            **times,
        )
