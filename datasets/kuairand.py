"""KuaiRand: a short-video feed to learn from, randomly inserted videos to test on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import polars as pl

from benchmark.dataset import (
    Dataset,
    History,
    Options,
    Source,
    find,
    scan_table,
    unique,
    with_clicked_before,
)

USER = (
    "user_active_degree", "is_live_streamer", "is_video_author", "follow_user_num_range",
    "fans_user_num_range", "friend_user_num_range", "register_days_range",
)  # fmt: skip
VIDEO = ("author_id", "video_type", "upload_type", "music_type", "tag")
VERSIONS = {"pure": "KuaiRand-Pure", "1k": "KuaiRand-1K"}
LOGS = {
    "log_standard_4_08_to_4_21": 0,
    "log_standard_4_22_to_5_08": 0,
    "log_random_4_22_to_5_08": 1,
}
NUMBERS = ("user_id", "video_id", "date", "hourmin", "time_ms", "duration_ms")
VALID_FROM = 20220420


class KuaiRandOptions(Options):
    """The options of KuaiRand."""

    version: Literal["pure", "1k"] = "pure"
    """The version: the pool's videos alone, or all that 1,000 users saw."""
    conversion: Literal["is_like", "is_follow", "is_comment", "is_forward", "long_view"] = "is_like"
    """The column that is the proxy label."""
    history: History = 20


class KuaiRand(Dataset):
    """Each row is a video of the feed; a like is the proxy label."""

    title = "KuaiRand"
    cite = "gao2022kuairand"
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
    options: KuaiRandOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.proxy_label = self.options.conversion.removeprefix("is_").replace("_", " ")
        file = f"{VERSIONS[self.options.version]}.tar.gz"
        url = f"https://zenodo.org/records/10439422/files/{file}"
        self.sources = (Source(file=file, page="https://kuairand.com", url=url),)
        if length := self.options.history:
            self.sequences = {"clicked_videos": ("video_id", length)}

    def table(self, raw: Path) -> pl.LazyFrame:
        version, label = self.options.version, self.options.conversion
        paths = {find(raw, f"{name}_{version}.csv"): random for name, random in LOGS.items()}
        first, *later = (_log(path, label, random) for path, random in paths.items())
        early = (
            pl.when(pl.col("date") < VALID_FROM).then(pl.lit("train")).otherwise(pl.lit("valid"))
        )
        parts = [first.with_columns(split=early)]
        parts += [log.with_columns(split=pl.lit("test")) for log in later]
        rows = pl.concat(parts).with_columns(who="user_id", time="time_ms")
        largest = max(paths, key=lambda path: path.stat().st_size)
        users = _about(find(raw, f"user_features_{version}.csv"), "user_id", USER)
        videos = _about(find(raw, f"video_features_basic_{version}.csv"), "video_id", VIDEO)
        return (
            with_clicked_before(rows, self.sequences, largest, self.scratch)
            .join(users, on="user_id", how="left", maintain_order="left")
            .join(videos, on="video_id", how="left", maintain_order="left")
        )


def _log(path: Path, label: str, random: int) -> pl.LazyFrame:
    """Scan one log."""
    click, seen = pl.col("is_click"), pl.col(label)
    rules = {
        **{f"{name} must be an integer from 0 up": pl.col(name) >= 0 for name in NUMBERS},
        **{f"{name} must be 0 or 1": pl.col(name).is_in([0, 1]) for name in ("is_click", label)},
        f"is_rand must be {random} in this file": pl.col("is_rand") == random,
    }
    types = dict.fromkeys((*NUMBERS, "is_rand"), pl.Int64) | {"tab": pl.String}
    columns = types | dict.fromkeys(("is_click", label), pl.Int8)
    return scan_table(path, columns, rules=rules).with_columns(
        policy=pl.lit("random" if random else "log"),
        group="user_id",
        click=click,
        conversion=pl.when(click == 1).then(seen),
        hour=pl.col("hourmin") // 100,
        log_video_duration=pl.col("duration_ms").cast(pl.Float64).log1p(),
    )


def _about(path: Path, key: str, attributes: tuple[str, ...]) -> pl.LazyFrame:
    """Scan what is known of users or videos, each there once."""
    types = {key: pl.Int64, **dict.fromkeys(attributes, pl.String)}
    return unique(
        scan_table(path, types, rules={f"{key} must be given": pl.col(key) >= 0}), key, path
    )
