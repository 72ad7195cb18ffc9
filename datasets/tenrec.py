"""Tenrec: videos in a feed, shown, clicked, then liked, shared or their author followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import polars as pl

from benchmark.dataset import Dataset, Options, Source, find, scan_table, split_by_hash

PAGE = "https://static.qblv.qq.com/qblv/h5/algo-frontend/tenrec_dataset.html"
AFTER_CLICK = ("like", "share", "follow")
TRAITS = ("item_id", "video_category", "gender", "age")
TYPES: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("user_id", *TRAITS), pl.String),
    **dict.fromkeys(("click", *AFTER_CLICK), pl.Int8),
}
RULES = {
    **{f"{label} must be 0 or 1": pl.col(label).is_in([0, 1]) for label in ("click", *AFTER_CLICK)},
    "user_id must not be missing": pl.col("user_id").is_not_null(),
}
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}


class TenrecOptions(Options):
    """The options of Tenrec."""

    file: Literal["QK-video.csv", "QK-video-10M.csv", "ctr_data_1M.csv"] = "QK-video.csv"
    """The file that is read."""
    conversion: Literal["like", "share", "follow"] = "like"
    """The column that is the proxy label."""


class Tenrec(Dataset):
    """Each row is a video in the feed of QK; a like, a share or a follow is the proxy label."""

    cite = "yuan2022tenrec"
    licence = "Licence on the page, which must be accepted"
    stages = ("impression", "click", "conversion")
    categorical = TRAITS
    sources = (Source(file="Tenrec.zip", page=PAGE),)
    min_count = 10
    options: TenrecOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        label = self.proxy_label = self.options.conversion
        self.title = f"Tenrec QK-video ({label} for conversion)"
        self.claims = (
            "Impression and click are logged, so methods for the entire space apply. Nothing was "
            f"bought: 'conversion' is a {label} of a clicked video (option conversion), a "
            "surrogate; results say nothing of purchases. The test split is as biased by clicks "
            "as train: no metric here is unbiased for what would have happened without a click. "
            "The log has no times and its order is not documented, so there are no histories and "
            "splits are drawn by a hash of the user (80/10/10): no user is in two of them, and "
            "user_id is no feature. Nor are watching_times, an outcome, and hist_1 to hist_10 of "
            f"ctr_data_1M.csv, which do not change with a user's rows. A {label} without a click "
            "is dropped and counted."
        )

    def table(self, raw: Path) -> pl.LazyFrame:
        path, label = find(raw, self.options.file), pl.col(self.options.conversion)
        rows = scan_table(path, TYPES, null_values=("\\N",), rules=RULES)
        return rows.select(
            *TRAITS,
            "click",
            group="user_id",
            split=split_by_hash(pl.col("user_id"), SHARES),
            conversion=pl.when(click=1).then(label),
            dropped=pl.when(label == 1, click=0).then(
                pl.lit(f"{self.options.conversion} without a click")
            ),
        )
