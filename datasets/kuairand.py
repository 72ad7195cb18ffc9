"""KuaiRand: a short-video feed to learn from, randomly inserted videos to test on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.dataset import DataError, Dataset, Source
from benchmark.data.fetching.raw import find
from benchmark.data.options import check, integer, one_of
from benchmark.data.reading.history import clicked_before

USER = (
    "user_active_degree", "is_live_streamer", "is_video_author", "follow_user_num_range",
    "fans_user_num_range", "friend_user_num_range", "register_days_range",
)  # fmt: skip
VIDEO = ("author_id", "video_type", "upload_type", "music_type", "tag")
VERSIONS = {"pure": "KuaiRand-Pure", "1k": "KuaiRand-1K"}
CONVERSIONS = ("is_like", "is_follow", "is_comment", "is_forward", "long_view")
LOGS = {
    "log_standard_4_08_to_4_21": 0,
    "log_standard_4_22_to_5_08": 0,
    "log_random_4_22_to_5_08": 1,
}
VALID_FROM = 20220420


class KuaiRand(Dataset):
    """Videos of the feed are the impressions; a like is the surrogate of a conversion."""

    title = "KuaiRand"
    citation = """
    @inproceedings{gao2022kuairand,
      title     = {{KuaiRand}: An Unbiased Sequential Recommendation Dataset with Randomly Exposed
                   Videos},
      author    = {Gao, Chongming and Li, Shijun and Zhang, Yuan and Chen, Jiawei and Li, Biao
                   and Lei, Wenqiang and Jiang, Peng and He, Xiangnan},
      booktitle = {CIKM},
      year      = {2022},
      doi       = {10.1145/3511808.3557624},
    }
    """
    licence = "CC BY-SA 4.0"
    claims = (
        "The random population was exposed by a uniform draw from a pool of 7,583 videos that took "
        "the place of recommended ones: metrics on it are free of the recommender's selection, not "
        "of the user's, since what follows a click is known of clicked rows only. A surrogate: "
        "'conversion' is a like (option conversion) after the click; nothing was bought, and likes "
        "without a click are no labels. 'Click' is the log's is_click: a click in the two-column "
        "app, in the single-column one a view of 7 seconds or to the end. The feed until 19 April "
        "2022 is train, 20 and 21 April valid, the feed and all random rows from 22 April on are "
        "test. User attributes are a snapshot of unknown date; statistics of videos are left out, "
        "as they cover the test period. 'Pure' keeps the pool's videos only: what else the feed "
        "showed is missing from histories. No probability of exposure is published."
    )
    stages = ("impression", "click", "conversion")
    categorical = ("user_id", *USER, "video_id", *VIDEO, "tab", "hour")
    numeric = ("log_video_duration",)
    options = {"version": "pure", "conversion": "is_like", "history": 0}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        rules = {
            "version": one_of(VERSIONS),
            "conversion": one_of(dict.fromkeys(CONVERSIONS)),
            "history": integer(0),
        }
        check(self.title, self.chosen, rules)
        file = f"{VERSIONS[self.chosen['version']]}.tar.gz"
        url = f"https://zenodo.org/records/10439422/files/{file}"
        self.sources = (Source(file=file, page="https://kuairand.com", url=url),)
        if length := self.chosen["history"]:
            self.sequences = {"clicked_videos": ("video_id", length)}

    def table(self, raw: Path) -> pl.LazyFrame:
        version, label = self.chosen["version"], self.chosen["conversion"]
        first, *later = (
            _log(find(raw, f"{name}_{version}.csv"), label, random) for name, random in LOGS.items()
        )
        early = (
            pl.when(pl.col("date") < VALID_FROM).then(pl.lit("train")).otherwise(pl.lit("valid"))
        )
        parts = [first.with_columns(split=early)]
        parts += [log.with_columns(split=pl.lit("test")) for log in later]
        rows = pl.concat(parts).sort("time_ms", "user_id", "video_id", maintain_order=True)
        users = _text(find(raw, f"user_features_{version}.csv"), "user_id", *USER)
        videos = _text(find(raw, f"video_features_basic_{version}.csv"), "video_id", *VIDEO)
        return (
            self._remembering(rows)
            .join(users, on="user_id", how="left", maintain_order="left")
            .join(videos, on="video_id", how="left", maintain_order="left")
        )

    def _remembering(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Add what each user clicked before each row."""
        if not (length := self.chosen["history"]):
            return rows
        log = rows.collect()
        names = log["video_id"].unique().sort()
        item = log["video_id"].replace_strict(names, range(len(names)), return_dtype=pl.Int64)
        click = (log["click"] == 1).to_numpy()
        before = clicked_before(log["group"].to_numpy(), item.to_numpy(), click, length)
        videos = before.list.eval(
            pl.element().replace_strict(range(len(names)), names, return_dtype=pl.String)
        )
        return log.with_columns(clicked_videos=videos).lazy()


def _log(path: Path, label: str, random: int) -> pl.LazyFrame:
    """Scan one log, after a look at every number of it."""
    numbers = ("date", "hourmin", "time_ms", "is_click", label, "is_rand", "duration_ms")
    text = _text(path, "user_id", "video_id", "tab", *numbers)
    rows = text.with_columns(
        pl.col(numbers).cast(pl.Int64, strict=False),
        group=pl.col("user_id").cast(pl.Int64, strict=False),
    )
    flags = pl.all_horizontal(pl.col("is_click", label).is_in([0, 1]))
    right = flags & (pl.col("is_rand") == random) & (pl.col("duration_ms") >= 0)
    known = pl.all_horizontal(pl.col("group", *numbers).is_not_null())
    wrong = rows.with_row_index("line", 2).filter(~(right & known).fill_null(value=False))
    for line, *_ in wrong.head(1).collect().iter_rows():
        raise DataError(
            f"{path}, line {line}: {text.collect().row(line - 2, named=True)}: is_click and "
            f"{label} must be 0 or 1, is_rand {random}, all others whole numbers"
        )
    click = pl.col("is_click") == 1
    return rows.with_columns(
        policy=pl.lit("random" if random else "log"),
        click=pl.col("is_click").cast(pl.Int8),
        conversion=pl.when(click).then(pl.col(label)).cast(pl.Int8),
        hour=pl.col("hourmin") // 100,
        log_video_duration=pl.col("duration_ms").cast(pl.Float64).log1p(),
    )


def _text(path: Path, *columns: str) -> pl.LazyFrame:
    """Scan columns of a CSV file as they are written."""
    return pl.scan_csv(path, infer_schema=False).select(columns)
