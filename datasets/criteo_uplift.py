"""Criteo uplift v2.1: users whom advertising was withheld from at random, visits, conversions."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from benchmark.dataset import Dataset, Options, Source, find, scan_table, split_by_hash

HOME = "https://huggingface.co/datasets/criteo/criteo-uplift"
FILE = "criteo-research-uplift-v2.1.csv.gz"
FEATURES = tuple(f"f{i}" for i in range(12))
FLAGS = ("treatment", "conversion", "visit", "exposure")
TYPES = {**dict.fromkeys(FEATURES, pl.Float64), **dict.fromkeys(FLAGS, pl.Int8)}
RULES = {
    **{f"{flag} must be 0 or 1": pl.col(flag).is_in([0, 1]) for flag in FLAGS},
    "exposure must be 0 where treatment is 0": pl.col("exposure") <= pl.col("treatment"),
}
TREATED = 0.85  # of all users, as drawn
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}


class CriteoUpliftOptions(Options):
    """The options of Criteo uplift."""

    users: Literal["all", "exposed"] = "all"
    """Whether rows are all users of the experiment, or those to whom a banner was really shown."""


class CriteoUplift(Dataset):
    """A user, treated or not by a random draw; "click": a visit to the advertiser; then the sale.

    Evidence: name, size and SHA-256 of the file as its page on Hugging Face has them, columns,
    counts and rates as the publisher's description and two public readers of the whole file report
    them, which agree. No row of it was at hand when this was written.
    """

    title = "Criteo uplift v2.1"
    cite = "diemert2021large"
    licence = "CC BY-NC-SA 4.0"
    claims = (
        "The treatment was drawn at random, for 85 % of the users: advertisers bid for their "
        "banners, and for the other 15 % they did not. So what a model predicts for each arm, and "
        "from one to the other, can be held against what happened. 'Impression' is a user in an "
        "arm, not a banner: 3.6 % of the treated were shown one (exposure), and the auction chose "
        "them, so exposure is an outcome, neither random nor a feature. 'Click' is a visit to the "
        "advertiser's site, 'conversion' a sale there; conversion given a visit is compared "
        "between arms whose visitors differ, and only CTR and CTCVR are causal. Option users: "
        "exposed keeps the users who were shown a banner; nothing is random among them. Several "
        "tests were pooled and sub-sampled so that the advertisers' rates stay hidden: rates and "
        "calibration are the sample's. The 12 features are projected and have no names. There are "
        "no times, users or items: splits are drawn by a hash of the line (80/10/10). The "
        "propensity is that of the arm, among all users. Sales without a visit are dropped."
    )
    stages = ("impression", "click", "conversion")
    categorical = ("treatment",)
    numeric = FEATURES
    sources = (
        Source(
            file=FILE,
            page=HOME,
            url=f"{HOME}/resolve/main/{FILE}",
            sha256="2716e1bf0fd157a93b5bf86924d9088419dfbac2022c6cd90030220634f616dc",
            size=311_422_618,
        ),
    )
    options: CriteoUpliftOptions

    def table(self, raw: Path) -> pl.LazyFrame:
        path = find(raw, f"{FILE.removesuffix('.gz')}*")
        visit, sale = pl.col("visit") == 1, pl.col("conversion") == 1
        rows = scan_table(path, TYPES, rules=RULES).with_row_index("row")
        propensity = {}
        if self.options.users == "exposed":
            rows = rows.filter(exposure=1)
        else:
            treated = pl.col("treatment") == 1
            propensity = {"propensity": pl.when(treated).then(TREATED).otherwise(1 - TREATED)}
        return rows.select(
            "treatment", *FEATURES,
            split=split_by_hash(pl.col("row"), SHARES),
            click="visit",
            conversion=pl.when(visit).then("conversion"),
            dropped=pl.when(sale & ~visit).then(pl.lit("sale without a visit")),
            **propensity,
        )  # fmt: skip
