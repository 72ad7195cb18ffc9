"""KuaiRec: users who saw almost every video of a pool, clicked by a known policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.dataset import DataError, Dataset, Source
from benchmark.data.fetching.raw import find
from benchmark.data.options import check, number
from benchmark.data.simulation.logging_policy import OPTIONS, RULES, LoggingPolicy
from benchmark.data.split import split_by_hash

USER = (
    "user_active_degree", "is_live_streamer", "is_video_author", "follow_user_num_range",
    "fans_user_num_range", "friend_user_num_range", "register_days_range",
)  # fmt: skip
SHARES = {"train": 0.7, "valid": 0.1, "test": 0.2}


class KuaiRec(Dataset):
    """Cells of the small matrix are the impressions; a simulated click reveals what was watched.

    The log odds of a click grow with the video's popularity, the logarithm of its views in the
    big matrix (``selection_strength``), and with that of the ratio watched (``hidden``).
    """

    title = "KuaiRec, small matrix under a simulated policy"
    citation = """
    @inproceedings{gao2022kuairec,
      title     = {KuaiRec: A Fully-observed Dataset and Insights for Evaluating Recommender
                   Systems},
      author    = {Gao, Chongming and Li, Shijun and Lei, Wenqiang and Chen, Jiawei and Li, Biao
                   and Jiang, Peng and He, Xiangnan and Mao, Jiaxin and Chua, Tat-Seng},
      booktitle = {Proceedings of the 31st ACM International Conference on Information and
                   Knowledge Management},
      pages     = {540--550},
      year      = {2022},
      doi       = {10.1145/3511808.3557220},
    }
    """
    licence = "CC BY-SA 4.0"
    claims = (
        "Semi-synthetic on KuaiRec: what 1,411 users watched of 3,327 videos is real and observed "
        "on 99.6 % of the cells (the rest are videos of authors whom the user blocked), the clicks "
        "are simulated by a known policy, so that what unclicked impressions would have led to is "
        "known. 'Conversion' is a video watched at least twice its length (option "
        "positive_ratio); nothing was bought. Its probability is unknown: oracle metrics compare "
        "with the observed outcome itself. Unless option hidden is 0, clicks depend on the ratio "
        "watched beyond what features tell, and no propensity that is a function of features "
        "removes all of the bias. Splits are drawn by a hash of the cell (70/10/20), not in time."
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
    options = {"positive_ratio": 2.0, **OPTIONS}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        check(self.title, self.chosen, {"positive_ratio": number(0.1), **RULES})

    def table(self, raw: Path) -> pl.LazyFrame:
        views = _read(find(raw, "big_matrix.csv"), "video_id").group_by("video_id").len("views")
        tags = _read(find(raw, "item_categories.csv"), "video_id", "feat").rename({"feat": "tags"})
        users = _read(find(raw, "user_features.csv"), "user_id", *USER)
        cells = _cells(find(raw, "small_matrix.csv")).with_columns(
            split=split_by_hash(pl.format("kuairec {} {}", "user_id", "video_id"), SHARES),
            group=pl.col("user_id").cast(pl.Int64),
            log_video_duration=pl.col("video_duration").cast(pl.Float64).log1p(),
            conversion=(pl.col("watch_ratio") >= self.chosen["positive_ratio"]).cast(pl.Int8),
        )
        for key, more in (("user_id", users), ("video_id", tags), ("video_id", views)):
            cells = cells.join(more, on=key, how="left", maintain_order="left")
        policy = LoggingPolicy.of(self.chosen)
        told, thought = pl.col("views").fill_null(0).log1p(), pl.col("watch_ratio").log1p()
        return policy.logged(cells.with_columns(told=told, thought=thought).collect()).lazy()


def _read(path: Path, *columns: str) -> pl.LazyFrame:
    """Scan columns of a CSV file; they stay text."""
    return pl.scan_csv(path, infer_schema=False).select(columns)


def _cells(path: Path) -> pl.LazyFrame:
    """Scan the fully observed matrix, after a look at every ratio."""
    text, ratio = pl.col("watch_ratio"), pl.col("watch_ratio").cast(pl.Float64, strict=False)
    cells = _read(path, "user_id", "video_id", "video_duration", "watch_ratio")
    wrong = cells.with_row_index("line", 2).filter(
        ~(ratio.is_finite() & (ratio >= 0)).fill_null(value=False)
    )
    for line, value in wrong.select("line", text).head(1).collect().iter_rows():
        raise DataError(f"{path}, line {line}: watch_ratio {value!r} is not a number from 0 up")
    return cells.with_columns(ratio)
