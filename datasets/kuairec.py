"""KuaiRec: users who saw almost every video of a pool, clicked by a known policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.simulation.logging_policy import LoggingPolicy, PolicyOptions
from benchmark.dataset import Dataset, Field, Source, find, scan_table, split_by_hash, unique

USER = (
    "user_active_degree", "is_live_streamer", "is_video_author", "follow_user_num_range",
    "fans_user_num_range", "friend_user_num_range", "register_days_range",
)  # fmt: skip
IDS = ("user_id", "video_id")
TYPES = dict.fromkeys(IDS, pl.Int64) | dict.fromkeys(("video_duration", "watch_ratio"), pl.Float64)
SHARES = {"train": 0.7, "valid": 0.1, "test": 0.2}


class KuaiRecOptions(PolicyOptions):
    """The options of the cells and of the policy."""

    positive_ratio: float = Field(2.0, ge=0.1)
    """The lowest ratio of time watched to the length of a video that counts as a conversion."""


class KuaiRec(Dataset):
    """Cells of the small matrix are the impressions; a simulated click reveals what was watched.

    The log odds of a click grow with the video's popularity, the logarithm of its views in the
    big matrix (``selection_strength``), and with that of the ratio watched
    (``unobserved_confounding``).
    """

    title = "KuaiRec, small matrix under a simulated policy"
    cite = "gao2022kuairec"
    licence = "CC BY-SA 4.0"
    claims = (
        "Semi-synthetic on KuaiRec: what 1,411 users watched of 3,327 videos is real and observed "
        "on 99.6 % of the cells (the rest are videos of authors whom the user blocked), the clicks "
        "are simulated by a known policy, so that what unclicked impressions would have led to is "
        "known. 'Conversion' is a video watched at least twice its length (option "
        "positive_ratio); nothing was bought. Its probability is unknown: oracle metrics compare "
        "with the observed outcome itself. Unless option unobserved_confounding is 0, clicks "
        "depend on the ratio watched beyond what features tell, and no propensity that is a "
        "function of features removes all of the bias. Splits are drawn by a hash of the cell "
        "(70/10/20), not in time."
    )
    stages = ("impression", "click", "conversion")
    categorical = ("user_id", *USER, "video_id", "tags")
    numeric = ("log_video_duration",)
    sources = (
        Source(
            file="KuaiRec.zip",
            page="https://zenodo.org/records/18164998",
            url="https://zenodo.org/records/18164998/files/KuaiRec.zip",
        ),
    )
    options: KuaiRecOptions
    redraws = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.proxy_label = f"watch ratio from {self.options.positive_ratio:g} up"

    def table(self, raw: Path) -> pl.LazyFrame:
        views = _scan(find(raw, "big_matrix.csv"), "video_id").group_by("video_id").len("views")
        tags = _about(find(raw, "item_categories.csv"), "video_id", "feat").rename({"feat": "tags"})
        users = _about(find(raw, "user_features.csv"), "user_id", *USER)
        cells = _cells(find(raw, "small_matrix.csv")).with_columns(
            split=split_by_hash(pl.format("kuairec {} {}", "user_id", "video_id"), SHARES),
            group="user_id",
            log_video_duration=pl.col("video_duration").log1p(),
            conversion=(pl.col("watch_ratio") >= self.options.positive_ratio).cast(pl.Int8),
        )
        for key, more in (("user_id", users), ("video_id", tags), ("video_id", views)):
            cells = cells.join(more, on=key, how="left", maintain_order="left")
        policy = LoggingPolicy(self.options)
        known = cells.with_columns(
            covariate=pl.col("views").fill_null(0).log1p(), confounder=pl.col("watch_ratio").log1p()
        )
        return policy.logged(known.collect()).lazy()


def _scan(path: Path, *columns: str, rules: dict[str, pl.Expr] | None = None) -> pl.LazyFrame:
    """Scan columns of a CSV file: ids and numbers as such, the rest as text."""
    required = {f"{name} must be given": pl.col(name).is_not_null() for name in {*columns} & {*IDS}}
    types = {name: TYPES.get(name, pl.String) for name in columns}
    return scan_table(path, types, rules=required | (rules or {}))


def _about(path: Path, key: str, *columns: str) -> pl.LazyFrame:
    return unique(_scan(path, key, *columns), key, path)


def _cells(path: Path) -> pl.LazyFrame:
    """Scan the fully observed matrix, in which each user meets each video once."""
    ratio, pair = pl.col("watch_ratio"), pl.format("{} with video {}", "user_id", "video_id")
    rules = {"watch_ratio must be a number from 0 up": ratio.is_finite() & (ratio >= 0)}
    cells = _scan(path, "user_id", "video_id", "video_duration", "watch_ratio", rules=rules)
    return unique(cells.with_columns(user=pair), "user", path).drop("user")
