"""Criteo conversion logs: clicks on display ads, converted up to 30 days later."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.data.dataset import Dataset, Source
from benchmark.data.fetching.raw import find
from benchmark.data.reading.attribution import split_by_time
from benchmark.data.reading.readers import scan_table

PAGE = "https://labs.criteo.com/downloads/2014-conversion-logs-dataset/"
WINDOW = 30 * 86_400
COUNTS = tuple(f"count_{i}" for i in range(1, 9))
CODES = tuple(f"code_{i}" for i in range(1, 10))
TYPES: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("click", "conversion"), pl.Int64),
    **dict.fromkeys(COUNTS, pl.Float64),
    **dict.fromkeys(CODES, pl.String),
}
CLICK, CONVERSION = pl.col("click"), pl.col("conversion")
RULES = {
    "the click must have a time, from 0 up": CLICK >= 0,
    "a conversion must not come before its click": CONVERSION.is_null() | (CONVERSION >= CLICK),
}
CUT_OFF = "click whose window the end of the log cuts off"


class CriteoConversion(Dataset):
    """A click on a display ad, which may convert later; the log of the delayed feedback papers.

    Evidence: the layout is as several public readers of ``data.txt`` have it (two times, eight
    integers, nine hashed values, tab-separated, no header); no copy was at hand.
    """

    title = "Criteo conversion logs"
    citation = """
    @inproceedings{chapelle2014modeling,
      title     = {Modeling Delayed Feedback in Display Advertising},
      author    = {Chapelle, Olivier},
      booktitle = {KDD},
      year      = {2014},
      doi       = {10.1145/2623330.2623634},
    }
    """
    licence = "Terms on the page, which must be accepted"
    claims = (
        "A log of clicks: nothing about impressions, CTR, CTCVR or selection by the click can be "
        "learned or claimed from it; what it is for is delayed feedback. A click converts if a "
        "conversion is logged within 30 days of it. Clicks less than 30 days before the last time "
        "in the log, of a click or a conversion, are dropped and counted, as their labels may not "
        "be final. Splits follow each other in time (80/10/10), unlike the streams of the papers, "
        "so numbers are not comparable with theirs. Users are not told, so there are no histories "
        "and users may be in several splits; what the features mean is not published. The CVR is "
        "that of Criteo's sample."
    )
    stages = ("click", "conversion")
    categorical = CODES
    numeric = tuple(f"log_{name}" for name in COUNTS)
    sources = (Source(file="criteo_conversion_logs.tar.gz", page=PAGE),)
    attribution_window = float(WINDOW)
    min_count = 10

    def table(self, raw: Path) -> pl.LazyFrame:
        path, delay = find(raw, "data.txt*"), CONVERSION - CLICK
        log = scan_table(path, TYPES, separator="\t", header=False, quote=None, rules=RULES)
        end = log.select(pl.max_horizontal(CLICK.max(), CONVERSION.max())).collect().item()
        converts = (delay <= WINDOW).fill_null(value=False)
        final = end >= CLICK + WINDOW
        rows = log.select(
            *CODES,
            *(_log(name).alias(f"log_{name}") for name in COUNTS),
            click_time=pl.when(final).then(CLICK),
            conversion=converts.cast(pl.Int8),
            conversion_delay=pl.when(converts).then(delay),
            dropped=pl.when(~final).then(pl.lit(CUT_OFF)),
        )
        return split_by_time(rows, "click_time")


def _log(name: str) -> pl.Expr:
    """Return a logarithm that keeps the sign, whatever the numbers are."""
    return pl.col(name).sign() * pl.col(name).abs().log1p()
