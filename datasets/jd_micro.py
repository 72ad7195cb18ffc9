"""JD Micro Behaviors: what visitors do on a product's page before they cart and order it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmark.data.partitions import first_of_each, in_slices, stored
from benchmark.data.reading.history import Past
from benchmark.data.reading.layouts import Rule
from benchmark.dataset import (
    Dataset,
    History,
    Options,
    Source,
    find_all,
    scan_table,
    split_by_hash,
)

PAGE = "https://github.com/guyulongcs/WSDM2020_HUP"
TOKEN = r"\d+\+(?:10|[1-9])\+\d+\+\d+\+\d+"
TOKEN_FIELDS = ("sku", "behaviour", "category", "seconds", "dwell_time")
FORM = f"a token must be {'+'.join(TOKEN_FIELDS)}, integers with behaviour from 1 to 10"
SHARES = {"train": 0.7, "valid": 0.1, "test": 0.2}
PART = 1 << 27  # bytes of lines that are compared at once
SESSIONS = 20_000  # whose behaviours, some hundred bytes each, are in memory at once
MANY = 20  # products seen before, from which on they are no longer told apart


class JDMicroOptions(Options):
    """The options of JD Micro Behaviors."""

    history: History = 20


class JDMicro(Dataset):
    """Each row is a product that a session visits; the first arrival on its page is the click.

    Behaviours 1 to 5 arrive on the page (from home, list, sale, cart or search); 6 comments,
    7 specification, 8 bottom of the page (micro); 9 cart (macro); 10 order (conversion).
    """

    title = "JD Micro Behaviors (HUP)"
    cite = "gu2020hierarchical"
    licence = "No licence file; its README allows use for research only"
    claims = (
        "A log of clicks: nothing about impressions, CTR, CTCVR or selection by the click can be "
        "learned or claimed from it; what it tests is the part of the funnel after the click. A "
        "row is a product in a session, clicked at its first arrival; micro, macro and conversion "
        "are 1 if such a behaviour on that product follows later in the session (forward "
        "attribution; behaviours before the arrival do not count, and what happens after the "
        "session is unknown). Arrival from the cart (4) marks a product carted before; its row "
        "stays. Features are known at the click; dwell time, measured after it, is none of them. "
        "Histories are the products that the session arrived at before (option history). "
        "Identical session lines count once. Users were removed, so one user's sessions may fall "
        "into several splits; there are no dates, so splits are drawn by a hash of the session "
        "(70/10/20) and are not in time."
    )
    stages = ("click", "micro", "macro", "conversion")
    categorical = (
        "sku", "category", "arrival", "previous_category", "visit",
        "same_category_before", "carted_before",
    )  # fmt: skip
    numeric = ("log_seconds_before", "log_products_before")
    sources = tuple(Source(file=f"JD_{part}", page=PAGE) for part in ("Applicances", "Computers"))
    min_count = 5
    options: JDMicroOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if length := self.options.history:
            self.sequences = {"recent_skus": ("sku", length)}

    def table(self, raw: Path) -> pl.LazyFrame:
        files = find_all(raw, "JD_*")
        lines = pl.concat([_scan(path) for path in files])
        parts = 1 + sum(path.stat().st_size for path in files) // PART
        once = first_of_each(lines, "line", parts, self.scratch / "lines")
        sessions = stored(
            once.with_row_index("session").with_columns(
                split=split_by_hash(pl.col("line"), SHARES)
            ),
            self.scratch / "sessions.parquet",
        )
        return in_slices(
            sessions,
            SESSIONS,
            lambda part: self._remembering(_visits(_tokens(part))),
            self.scratch / "visits",
        )

    def _remembering(self, visits: pl.LazyFrame) -> pl.LazyFrame:
        """Add which products a session arrived at before each."""
        frame = visits.collect()
        past, rows = Past(frame, "session"), np.arange(len(frame))
        anything = np.ones(len(frame), np.bool_)
        return frame.with_columns(
            past.last(frame[field], anything, length, rows).alias(name)
            for name, (field, length) in self.sequences.items()
        ).lazy()


def _scan(path: Path) -> pl.LazyFrame:
    """Scan a file of sessions, one per line."""
    line = pl.col("line")
    strange = pl.element().filter(~pl.element().str.contains(f"^{TOKEN}$"))
    rule = Rule(
        line.str.contains(f"^{TOKEN}(?: {TOKEN})*$"),
        line.fill_null("").str.split(" ").list.eval(strange).list.first().alias("token"),
    )
    return scan_table(
        path, {"line": pl.String}, separator="\x01", header=False, quote=None, rules={FORM: rule}
    )


def _tokens(sessions: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per behaviour, with what its session has shown before it."""

    def before(value: pl.Expr) -> pl.Expr:
        return (value.cum_sum() - value).over("session")

    new_product = pl.col("sku").is_first_distinct().over("session").cast(pl.Int64)
    return (
        sessions.select("session", "split", token=pl.col("line").str.split(" "))
        .explode("token")
        .with_columns(pl.col("token").str.split_exact("+", 4).struct.rename_fields(TOKEN_FIELDS))
        .unnest("token")
        .with_columns(pl.col(TOKEN_FIELDS).cast(pl.Int64))
        .with_columns(
            arrives=pl.col("behaviour") <= 5,
            previous_category=pl.col("category").shift(1).over("session"),
            same_category_before=~pl.col("category").is_first_distinct().over("session"),
            carted_before=before((pl.col("behaviour") == 9).cast(pl.Int64)) > 0,
            seconds_before=before(pl.col("seconds")),
            products_before=before(new_product),
            time=pl.int_range(pl.len()).over("session"),
        )
    )


def _visits(tokens: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per product that a session arrives at."""
    behaviour, arrives = pl.col("behaviour"), pl.col("arrives")
    after = arrives.cum_max()
    at_click = (
        "category", "previous_category", "same_category_before", "carted_before",
        "seconds_before", "products_before", "time",
    )  # fmt: skip
    return (
        tokens.group_by("session", "split", "sku", maintain_order=True)
        .agg(
            pl.col(at_click).filter(arrives).first(),
            behaviour.filter(arrives).first().alias("arrival"),
            micro=(after & behaviour.is_between(6, 8)).any().cast(pl.Int8),
            macro=(after & (behaviour == 9)).any().cast(pl.Int8),
            conversion=(after & (behaviour == 10)).any().cast(pl.Int8),
        )
        .filter(pl.col("arrival").is_not_null())
        .with_columns(
            pl.col("same_category_before", "carted_before").cast(pl.Int8),
            group=pl.col("session"),
            visit=pl.col("products_before").clip(upper_bound=MANY),
            log_seconds_before=pl.col("seconds_before").log1p(),
            log_products_before=pl.col("products_before").log1p(),
        )
    )
