"""CriteoPrivateAd: banners of 30 days, the clicks on them, those that landed, and the sales."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import polars as pl

from benchmark.dataset import (
    DataError,
    Dataset,
    Kind,
    Options,
    Source,
    checked_parquet,
    find_all,
    same_types,
)

FLAGS = {"clicked": "is_clicked", "landed": "is_click_landed", "visited": "is_visit"}
CODES = (
    "campaign_id", "publisher_id", "features_kv_bits_constrained_1",
    "features_kv_bits_constrained_3", "features_ctx_not_constrained_0",
)  # fmt: skip
NUMBERS = (
    *(f"features_kv_bits_constrained_{i}" for i in range(25) if i not in (1, 3, 5)),
    *(f"features_browser_bits_constrained_{i}" for i in range(11)),
)
COLUMNS = (*CODES, *NUMBERS, "display_order", *FLAGS.values(), "nb_sales")
RULES = {
    **{
        f"{flag} must be 0 or 1": (pl.col(flag) * (1 - pl.col(flag))) == 0
        for flag in FLAGS.values()
    },
    "nb_sales must be missing or a number from 0 up": pl.col("nb_sales").fill_null(0) >= 0,
    "display_order must be a number from 1 up": pl.col("display_order") >= 1,
}
KINDS: dict[str, Kind] = dict.fromkeys(NUMBERS, "a floating-point number")
DAYS = {f"day_int={day}": day for day in range(1, 31)}
AGAIN = "part-00000-d0cfd34a-794e-4f02-a177-a96d3f9483cf-c000.gz.parquet"  # all rows of a day
FEWEST = 3


class CriteoPrivateAdOptions(Options):
    """The options of CriteoPrivateAd."""

    click: Literal["clicked", "landed", "visited"] = "clicked"
    """What counts as the click: each one, those that landed on the shop's site, or its visits."""


class CriteoPrivateAd(Dataset):
    """Each row is a banner that was shown; its click, and what was sold after it.

    Evidence: layout, names and types of columns are those of the publisher's page and of four
    public readers of the files, which also report 103,862,032 rows, 37 % of them clicked and 1.3 %
    with sales, and that one file repeats a whole day. The sub-sampling is from the paper. Types of
    21 more columns, the unit of the delays and the rules of attribution could not be read, so these
    are not used. No row was at hand, and no checksum is published where we could read it.
    """

    title = "CriteoPrivateAd"
    cite = "sebbar2025criteoprivateads"
    licence = "CC BY-SA 4.0"
    claims = (
        "Impression, click and sale are logged, so methods for the entire space apply. A row is a "
        "banner; 'click' is a click on it (option click: only those that landed on the shop's "
        "site, or its visits), conversion at least one sale that Criteo attributed to the banner, "
        "by a rule and within a time that we could not read. A sale without a click is dropped "
        "and counted. Banners without a click were sub-sampled until about 36 % of all had one: "
        "CTR, CTCVR and calibration are those of the sample, not of the traffic. The publisher's "
        "file event_per_user_correction.csv, which is not used, lists how that changed the "
        "numbers of banners per user. Delays of clicks and sales are published in a unit that we "
        "could not verify, so the table has no times, methods for delayed feedback are skipped, "
        "and the last days may have too few sales. A user has another id each day, so there are no "
        "histories and no groups. Features are those whose types we could verify: codes of "
        "campaign, publisher, context and two signals, numbers of 22 signals of the user on the "
        "site and 11 of the browser, and how many banners the user had seen that day. What the "
        "publisher marks as not available when the banner is chosen is no feature. Splits follow "
        "each other in whole days (of 30: 24, 3 and 3). Nothing was shown at random, so no metric "
        "here is unbiased for what would have happened without a click."
    )
    stages = ("impression", "click", "conversion")
    categorical = CODES
    numeric = (*NUMBERS, "log_banners_seen")
    min_count = 10
    sources = (
        Source(
            file="day_int=1 to day_int=30, folders of .gz.parquet files",
            page="https://huggingface.co/datasets/criteo/CriteoPrivateAd/tree/main/data",
        ),
    )
    options: CriteoPrivateAdOptions

    def parts(self, raw: Path) -> Mapping[str, pl.LazyFrame]:
        days = _days(raw)
        if len(days) < FEWEST:
            raise DataError(
                f"{self.title}: {raw} holds files of {len(days)} days, which cannot be split in "
                f"whole days; it must be {FEWEST} or more"
            )
        held = max(1, len(days) // 10)
        splits = dict(zip(days, _splits(len(days), held), strict=True))
        shown = same_types({path: _banners(path) for files in days.values() for path in files})
        return {
            f"day-{day:02}": self._rows([shown[path] for path in files], splits[day])
            for day, files in sorted(days.items())
        }

    def table(self, raw: Path) -> pl.LazyFrame:
        return pl.concat(self.parts(raw).values())

    def _rows(self, banners: list[pl.LazyFrame], split: str) -> pl.LazyFrame:
        """Return the banners of a day."""
        click = pl.col(FLAGS[self.options.click]) == 1
        sold = pl.col("nb_sales").fill_null(0) > 0
        return pl.concat(banners).select(
            pl.col(CODES).cast(pl.String),
            pl.col(NUMBERS).cast(pl.Float64),
            log_banners_seen=(pl.col("display_order") - 1).cast(pl.Float64).log1p(),
            split=pl.lit(split),
            click=click.cast(pl.Int8),
            conversion=pl.when(click).then(sold).cast(pl.Int8),
            dropped=pl.when(sold & ~click).then(pl.lit("sale without a click")),
        )


def _banners(path: Path) -> pl.LazyFrame:
    """Scan the columns that are used of a file, after a look at every label."""
    return checked_parquet(path, COLUMNS, RULES, KINDS).select(COLUMNS)


def _days(raw: Path) -> dict[int, list[Path]]:
    """Return the files of each day, in order, without the one that repeats the others."""
    days: dict[int, list[Path]] = {}
    for path in find_all(raw, "*.parquet"):
        if (day := DAYS.get(path.parent.name)) is None:
            raise DataError(
                f"{path} must lie in one of the folders day_int=1 to day_int=30, as published"
            )
        days.setdefault(day, []).append(path)
    return {
        day: [path for path in files if path.name != AGAIN] or files
        for day, files in sorted(days.items())
    }


def _splits(days: int, held: int) -> list[str]:
    """Return the split of each day, in order."""
    return ["train"] * (days - 2 * held) + ["valid"] * held + ["test"] * held
