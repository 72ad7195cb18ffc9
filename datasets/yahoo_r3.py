"""Yahoo! R3: songs that users chose to rate to learn from, random songs to test on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.reading import rated
from benchmark.dataset import DataError, Dataset, Source, find, scan_table

FILES = {
    "chosen": "ydata-ymusic-rating-study-v1_0-train.txt",
    "drawn": "ydata-ymusic-rating-study-v1_0-test.txt",
}


class YahooR3(Dataset):
    """Every user meets every song: rating it is the click, liking it the conversion."""

    title = "Yahoo! R3 music ratings"
    cite = "marlin2007collaborative"
    licence = "Yahoo! Webscope data sharing agreement; no redistribution"
    claims = (
        "Metrics of the random population are unbiased for a user's opinion of a random song of "
        "the 1,000: 10 per user were drawn uniformly, for 5,400 of the 15,400 users, who took part "
        "in a survey and need not be like the rest. A proxy: 'impression' is a pair of user and "
        "song, shown or not, 'click' means that the user rated the song while using the service, "
        "'conversion' a rating of at least 4 (option positive_rating); nothing was bought. The "
        "drawn cells are test only and missing from train and valid (option drawn_cells), so that "
        "no answer is shown; as they were drawn at random, the rest is still a fair sample of "
        "those choices; in_train puts them back, so that their answers are among the labels of "
        "train and valid, and serves to stand beside published tables only. Splits of the rest "
        "are drawn by a hash of the cell (90/10), not in time. "
        "All 15.4 million cells are rows; option unrated_per_rating thins out what was not rated, "
        "and propensities then mean the sample."
    )
    stages = ("impression", "click", "conversion")
    categorical = ("user_id", "item_id")
    sources = (Source(file="Webscope_R3.tgz", page="https://webscope.sandbox.yahoo.com"),)
    options: rated.RatedOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.proxy_label = self.options.proxy_label

    def table(self, raw: Path) -> pl.LazyFrame:
        ratings = {name: _ratings(find(raw, file), name) for name, file in FILES.items()}
        pairs = pl.concat([frame.select("user_id", "item_id") for frame in ratings.values()])
        users, items = (pairs.select(pl.col(key).unique().sort()) for key in pairs.columns)
        cells = users.lazy().join(items.lazy(), how="cross", maintain_order="left_right")
        for frame in ratings.values():
            cells = cells.join(
                frame.lazy(), on=["user_id", "item_id"], how="left", maintain_order="left"
            )
        return rated.funnel(cells.with_columns(group="user_id"), "yahoo", self.options)


def _ratings(path: Path, name: str) -> pl.DataFrame:
    """Read lines of user, song and rating, a tab between them."""
    columns = ("user_id", "item_id", name)
    user, song, rating = (
        pl.col(column).str.strip_chars().cast(pl.Int64, strict=False) for column in columns
    )
    rules = {
        "user, song and rating must be integers from 1 up, the rating up to 5": (
            (user > 0) & (song > 0) & rating.is_between(1, 5)
        )
    }
    types = dict.fromkeys(columns, pl.String)
    lines = scan_table(path, types, separator="\t", header=False, quote=None, rules=rules)
    numbers = lines.select(user, song, rating).collect()
    twice = numbers.select(columns[:2]).filter(pl.struct(columns[:2]).is_duplicated())
    for one, item in twice.head(1).iter_rows():
        raise DataError(f"{path}: user {one} rates song {item} twice; one rating is allowed")
    return numbers
