"""MAC: clicks on ads of Taobao, and who is credited with a purchase by four rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl

from benchmark.dataset import (
    Dataset,
    Field,
    Options,
    Source,
    checked_parquet,
    find_all,
    same_types,
    split_by_hash,
)

PAGE = "https://huggingface.co/datasets/alimamaTech/MAC"
FEATURES = (
    "user_id", *(f"user_feat{i}" for i in range(6)), *(f"ad_feat{i}" for i in range(6)),
    *(f"context_feat{i}" for i in range(4)),
)  # fmt: skip
LISTED = tuple(f"ad_feat{i}" for i in range(3))
CREDITS = ("first", "last", "mta", "linear")
FILES = (*(f"train-{number:02}.parquet" for number in range(20)), "test.parquet")
SHARES = {"train": 0.95, "valid": 0.05}
COLUMNS = (*FEATURES, *(f"{name}_seq" for name in LISTED), *CREDITS)
RULES = {f"{name} must lie in [0, 1]": pl.col(name).is_between(0, 1) for name in CREDITS}


class MacOptions(Options):
    """The options of MAC."""

    attribution: Literal["first", "last", "mta", "linear"] = "last"
    """By which rule a click is credited with a purchase."""
    history: int = Field(20, ge=0, le=20)
    """How many entries of the published histories are read; 0 is none."""


class Mac(Dataset):
    """Each row is a click on an ad; it converts if it is credited with a part of a purchase.

    Evidence: names of files and columns, and that a credit above 0 is a conversion, are those of
    the publisher's own reader (PyMAL). No row was at hand: order of the rows, fillers in histories
    and types beyond the ones that reader relies on (ids as text, credits as numbers) are not known,
    and no checksum is published where we could read it.
    """

    title = "MAC (four attributions of one click log)"
    cite = "wu2026mac"
    licence = "Apache 2.0"
    claims = (
        "A log of clicks: nothing about impressions, CTR, CTCVR or selection by the click can be "
        "learned or claimed from it. What it is for is to compare attributions: the same clicks "
        "are credited with purchases by four rules, of which option attribution names one (last "
        "or first click, linear: every click, mta: a learned model of the publisher), so that "
        "results under two options differ by the rule alone. A click converts if its credit is "
        "above 0. Under linear every click before a purchase converts; these labels count a "
        "purchase more than once. Windows and times are not published: methods for delayed "
        "feedback are skipped. The publisher's test file is the test split; whether it is later "
        "than the train files is not stated. 5 % of the latter, by a hash of the row, are valid, "
        "so users occur in several splits. Histories are as published; we could not see in what "
        "order they are, with what they are filled up, or that they end before the click. "
        "Vectors of images and texts are not used. Nothing was shown at random."
    )
    stages = ("click", "conversion")
    categorical = FEATURES
    min_count = 10
    sources = tuple(
        Source(
            file=file, page=PAGE,
            url=f"{PAGE}/resolve/main/{file.partition('-')[0].partition('.')[0]}/{file}",
        )
        for file in FILES
    )  # fmt: skip
    options: MacOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if length := self.options.history:
            self.sequences = {f"recent_{name}": (name, length) for name in LISTED}

    def parts(self, raw: Path) -> Mapping[str, pl.LazyFrame]:
        paths = [path for part in ("train-*", "test") for path in find_all(raw, f"{part}.parquet")]
        clicks = same_types({path: checked_parquet(path, COLUMNS, RULES) for path in paths})
        return {path.stem: self._rows(rows, path.stem) for path, rows in clicks.items()}

    def table(self, raw: Path) -> pl.LazyFrame:
        return pl.concat(self.parts(raw).values())

    def _rows(self, rows: pl.LazyFrame, part: str) -> pl.LazyFrame:
        length, test = self.options.history, part == "test"
        number = pl.concat_str(pl.lit(f"{part}/"), pl.col("row"))
        return rows.with_row_index("row").select(
            pl.col(FEATURES).cast(pl.String),
            *(
                pl.col(f"{name}_seq").cast(pl.List(pl.String)).list.tail(length).alias(
                    f"recent_{name}"
                )
                for name in (LISTED if length else ())
            ),
            group="user_id",
            split=pl.lit("test") if test else split_by_hash(number, SHARES),
            conversion=(pl.col(self.options.attribution) > 0).cast(pl.Int8),
        )  # fmt: skip
