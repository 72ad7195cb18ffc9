"""MT-LIFT: impressions of coupons of Meituan in five randomised arms, clicks and conversions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from benchmark.dataset import Dataset, Source, find, scan_table, split_by_hash

FEATURES = tuple(f"f{i}" for i in range(99))
ARMS = range(5)
TYPES = {
    **dict.fromkeys(FEATURES, pl.Float64),
    **dict.fromkeys(("click", "conversion", "treatment"), pl.Int8),
}
RULES = {
    "click must be 0 or 1": pl.col("click").is_in([0, 1]),
    "conversion must be 0 or 1": pl.col("conversion").is_in([0, 1]),
    "treatment must be a whole number from 0 to 4": pl.col("treatment").is_in(ARMS),
}
SHARES = {"train": 0.9, "valid": 0.1}


class MtLift(Dataset):
    """An impression of a coupon in one of five arms drawn at random; its click and conversion.

    Evidence: files, names of the columns and range of the arms as the publisher's page lists them.
    No row was at hand: order of the columns, missing values and whether some features are codes
    are not known, so all are read as numbers. An empty cell counts as missing.
    """

    title = "MT-LIFT"
    cite = "huang2024entire"
    licence = "None stated on its page"
    claims = (
        "The arm (five kinds of coupon; field treatment) was drawn at random, as the publisher "
        "says, so what a model predicts for each arm, and from one to another, can be held "
        "against what happened. Impression, click and conversion are logged: methods for the "
        "entire space apply. Random is the arm, not the click: conversion given a click is "
        "compared between arms whose clickers differ; only CTR and CTCVR are causal, and no "
        "metric of the random population is reported. With which probability each arm was drawn "
        "is not published, so no propensity is given. The publisher's test file is the test "
        "split, whether it is later than the train file is not told; a tenth of the latter, by a "
        "hash of the line, is valid. The 99 features have no names and are read as numbers; "
        "there are no users, items or times. A conversion without a click is dropped and counted."
    )
    stages = ("impression", "click", "conversion")
    categorical = ("treatment",)
    numeric = FEATURES
    sources = tuple(
        Source(file=f"{part}.csv", page="https://github.com/MTDJDSP/MT-LIFT")
        for part in ("train", "test")
    )

    def parts(self, raw: Path) -> Mapping[str, pl.LazyFrame]:
        return {part: self._part(raw, part) for part in ("train", "test")}

    def table(self, raw: Path) -> pl.LazyFrame:
        return pl.concat(self.parts(raw).values())

    def _part(self, raw: Path, part: str) -> pl.LazyFrame:
        rows = scan_table(find(raw, f"{part}.csv*"), TYPES, rules=RULES).with_row_index("row")
        click, sale = pl.col("click") == 1, pl.col("conversion") == 1
        split = split_by_hash(pl.col("row"), SHARES) if part == "train" else pl.lit("test")
        return rows.select(
            "treatment", *FEATURES, "click",
            split=split,
            conversion=pl.when(click).then("conversion"),
            dropped=pl.when(sale & ~click).then(pl.lit("conversion without a click")),
        )  # fmt: skip
