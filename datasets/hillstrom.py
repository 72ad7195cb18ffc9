"""Hillstrom: an e-mail campaign with three randomised arms, the visits and the purchases."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.dataset import Dataset, Source, find, scan_table, split_by_hash

HOME = "https://github.com/russluber/hillstrom"
COMMIT = "06436285140e7573ae209c561db3de15d8635cf5"
ARMS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
CODES = ("history_segment", "mens", "womens", "zip_code", "newbie", "channel")
OUTCOMES = ("visit", "conversion")
TYPES: dict[str, type[pl.DataType]] = {
    "recency": pl.Int64,
    "history": pl.Float64,
    **dict.fromkeys((*CODES, "segment"), pl.String),
    **dict.fromkeys(OUTCOMES, pl.Int8),
}
RULES = {
    f"segment must be one of {', '.join(ARMS)}": pl.col("segment").is_in(ARMS),
    **{f"{name} must be 0 or 1": pl.col(name).is_in([0, 1]) for name in OUTCOMES},
    "history must be a number from 0 up": pl.col("history") >= 0,
}
SHARES = {"train": 0.5, "valid": 0.15, "test": 0.35}


class Hillstrom(Dataset):
    """A customer in one of three arms drawn at random; "click": a visit; then the purchase.

    Evidence: the whole file was read, 64,000 rows with the counts that are published of it. It is
    a copy at a fixed commit, which was not compared with the author's own file byte by byte.
    """

    title = "Hillstrom e-mail experiment (2008)"
    cite = "hillstrom2008minethatdata"
    licence = "None stated; published by its author as an open challenge"
    claims = (
        "The arm (no e-mail, men's or women's merchandise; field segment) was drawn at random for "
        "every customer, a third each, so differences between arms are causal: what a model "
        "predicts for an arm, and from one arm to another, can be held against what happened. "
        "'Impression' is a customer in an arm, also in the one without an e-mail, 'click' a visit "
        "to the shop's site within two weeks, whether or not from the e-mail, 'conversion' a "
        "purchase within the same two weeks. Random is the arm, not the visit: who visits selects "
        "himself, and the conversion given a visit is compared between arms whose visitors "
        "differ, which the arms do not make unbiased; only the purchase per customer (CTCVR) and "
        "the visit (CTR) are. No metric of the random population is reported for this reason. "
        "The propensity is that of the arm. There are no times, no items and no repeated "
        "customers: splits are drawn by a hash of the line (50/15/35, a large test split because "
        "578 customers bought). A purchase without a visit, of which the file has none, would be "
        "dropped. spend is an outcome and not used."
    )
    stages = ("impression", "click", "conversion")
    categorical = ("segment", *CODES)
    numeric = ("recency", "log_history")
    sources = (
        Source(
            file="hillstrom_data.csv",
            page=HOME,
            url=f"https://raw.githubusercontent.com/russluber/hillstrom/{COMMIT}/data/hillstrom_data.csv",
            sha256="27bab8c5d3669f26ec08ebb50a0a78317542f29501156f2e2af6781fab4cd7e2",
            size=3_900_976,
        ),
    )

    def table(self, raw: Path) -> pl.LazyFrame:
        rows = scan_table(find(raw, "*illstrom*.csv*"), TYPES, rules=RULES)
        visit, bought = pl.col("visit") == 1, pl.col("conversion") == 1
        return rows.with_row_index("row").select(
            *self.categorical,
            "recency",
            log_history=pl.col("history").log1p(),
            split=split_by_hash(pl.col("row"), SHARES),
            propensity=pl.lit(1 / len(ARMS)),
            click="visit",
            conversion=pl.when(visit).then("conversion"),
            dropped=pl.when(bought & ~visit).then(pl.lit("purchase without a visit")),
        )
