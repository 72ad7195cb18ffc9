"""TencentGR-10M: up to 100 ads of a user in order, each seen, clicked or converted on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from benchmark.dataset import (
    DataError,
    Dataset,
    Options,
    Source,
    checked_parquet,
    find_all,
    locate_parquet_errors,
    same_types,
    seconds,
    split_by_time,
)

USER = ("103", "104", "105", "109")
AD = ("100", "101", "112", "114", "115", "116", "117", "118", "119", "120", "122")
EVENT = ("item_id", "action_type", "timestamp")
CLICKED, CONVERTED = 1, 2
RULES = {
    "item_id must be given": pl.col("item_id").is_not_null(),
    "action_type must be 0, 1 or 2": pl.col("action_type").is_in([0, CLICKED, CONVERTED]),
    **seconds("timestamp"),
}


class TencentGr(Dataset):
    """Each row is an ad in the sequence of a user; its click, and its conversion.

    Evidence: folders, columns and their types are those of four public readers of the files; one
    of them and two readings of the paper report the codes of actions and their shares. That a code
    is the last step of an impression, so that a converted ad was clicked, is our reading: in a
    public count of 12,000 users, an ad with a click is hardly ever there again with a conversion.
    No row was at hand, and no checksum is published where we could read it.
    """

    title = "TencentGR-10M (advertising challenge 2025)"
    cite = "pan2026tencent"
    licence = "CC BY 4.0"
    claims = (
        "Impression, click and conversion are logged, so methods for the entire space apply. The "
        "rates are not natural: the sequences, of at most 100 ads of a user, were composed for a "
        "challenge by a rule that we could not read; 94.6 % of their ads are seen only, 2.9 % "
        "clicked and 2.5 % converted, so nearly every second click converts. CTR, CVR and their "
        "calibration are those of that composition, and so may be the selection by the click. An "
        "ad has one action; we take it for the last step of its impression (0 seen, 1 clicked, "
        "2 converted), so that a conversion is one after a click; if the log has conversions "
        "without a click, they count as such here. By which rule and within which time "
        "conversions were attributed is not published, so the table has no times. Fields have "
        "numbers for names; those of users with several values, 102 and 121, and all vectors of "
        "texts and images are not used, and there are no histories. Splits follow each other in "
        "time (80/10/10), so users occur in several. Nothing was shown at random, so no metric "
        "here is unbiased for what would have happened without a click. Memory grows with the "
        "number of ads."
    )
    stages = ("impression", "click", "conversion")
    categorical = (
        "user_id", *(f"user_{name}" for name in USER), "item_id", *(f"ad_{name}" for name in AD),
        "hour", "weekday",
    )  # fmt: skip
    min_count = 10
    sources = (
        Source(
            file="seq, item_feat and user_feat, folders of .parquet files",
            page="https://huggingface.co/datasets/TAAC2025/TencentGR-10M/tree/main",
        ),
    )
    options: Options

    def table(self, raw: Path) -> pl.LazyFrame:
        ads = _about(_folder(raw, "item_feat"), "item_id", {name: f"ad_{name}" for name in AD})
        people = _about(_folder(raw, "user_feat"), "user_id", {n: f"user_{n}" for n in USER})
        events = pl.concat(map(_events, _folder(raw, "seq")))
        return (
            split_by_time(events, "timestamp")
            .join(ads, on="item_id", how="left", maintain_order="left")
            .join(people, on="user_id", how="left", maintain_order="left")
        )


def _folder(raw: Path, name: str) -> list[Path]:
    """Return the Parquet files of a folder, wherever it lies."""
    files = [path for path in find_all(raw, "*.parquet") if path.parent.name == name]
    if not files:
        raise DataError(f"{raw} holds no .parquet file in a folder {name}; get it as published")
    return files


def _about(files: list[Path], key: str, names: Mapping[str, str]) -> pl.LazyFrame:
    """Scan what is known of ads or users, the first row of each."""
    parts = {
        path: checked_parquet(path, (key, *names), kinds={key: "an integer"}).select(key, *names)
        for path in files
    }
    known = pl.concat(same_types(parts).values()).select(
        pl.col(key).cast(pl.Int64),
        *(pl.col(name).cast(pl.String).alias(to) for name, to in names.items()),
    )
    return known.unique(key, keep="first", maintain_order=True)


def _events(path: Path) -> pl.LazyFrame:
    """Scan the ads of the sequences in a file, after a look at each."""
    lists = checked_parquet(path, ("user_id", "seq"), kinds={"user_id": "an integer"})
    rows = lists.select("user_id", "seq").explode("seq").unnest("seq")
    with locate_parquet_errors(path):
        types = rows.collect_schema()
    if lacking := [name for name in EVENT if name not in types]:
        raise DataError(f"{path}: an entry of seq lacks {', '.join(lacking)}")
    if other := next((name for name in EVENT if not types[name].is_integer()), None):
        raise DataError(f"{path}: {other} in seq is {types[other]}; it must be an integer")
    for rule, obeyed in RULES.items():
        broken = rows.filter(~obeyed.fill_null(value=False)).head(1).collect()
        for user, *event in broken.select("user_id", *EVENT).iter_rows():
            raise DataError(
                f"{path}: user {user} has {dict(zip(EVENT, event, strict=True))}; {rule}"
            )
    action, moment = pl.col("action_type"), pl.from_epoch("timestamp")
    clicked = action >= CLICKED
    return rows.select(
        pl.col("user_id", "item_id", "timestamp").cast(pl.Int64),
        group=pl.col("user_id").cast(pl.Int64),
        hour=moment.dt.hour(),
        weekday=moment.dt.weekday(),
        click=clicked.cast(pl.Int8),
        conversion=pl.when(clicked).then(action == CONVERTED).cast(pl.Int8),
    )  # fmt: skip
