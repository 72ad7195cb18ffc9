"""Coat: ratings of self-chosen items to learn from, of random items to test on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmark.data.reading import rated
from benchmark.dataset import DataError, Dataset, Source, find


class CoatOptions(rated.RatedOptions):
    """The options of Coat."""

    features: Literal["all", "ids"] = "all"
    """Whether features are ids and attributes, or ids alone."""


class Coat(Dataset):
    """Every user meets every item: rating it is the click, liking it the conversion."""

    title = "Coat Shopping"
    cite = "schnabel2016recommendations"
    licence = "None in the archive; published by its authors for research"
    claims = (
        "Metrics of the random population are unbiased for a user's opinion of a random item: its "
        "16 items per user were drawn uniformly. A proxy: 'click' means that the user chose to "
        "rate the item, 'conversion' a rating of at least 4 (option positive_rating); nothing was "
        "bought. All 4,640 randomly drawn cells are test only and missing from train and valid: "
        "366 of them were also self-chosen, with the very same rating, so that keeping them would "
        "show the answer; dropping just those would deplete the clicks. As the cells were drawn at "
        "random, the rest is still a fair sample of the users' choices. 290 users and 300 items "
        "only: differences need many seeds. Option drawn_cells: in_train puts the drawn cells "
        "back, as public code of two papers has it: the 366 answers are then among the labels of "
        "train and valid, and results show memory beside generalisation. Option unrated_per_rating "
        "thins out what was not rated, and propensities then mean the sample. Both serve to stand "
        "beside published tables, and nothing else."
    )
    stages = ("impression", "click", "conversion")
    categorical: tuple[str, ...] = (
        "user_id", "user_gender", "user_age", "user_location", "user_fashioninterest",
        "item_id", "item_gender", "item_jackettype", "item_color", "item_onfrontpage",
    )  # fmt: skip
    sources = (
        Source(
            file="coat.zip",
            page="https://www.cs.cornell.edu/~schnabts/mnar/",
            url="https://www.cs.cornell.edu/~schnabts/mnar/coat.zip",
            sha256="6073d0b515ed1f6e830e4fead66dc76ad7991a7553eaa58e228b234a9d19daed",
        ),
    )
    options: CoatOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.proxy_label = self.options.proxy_label
        if self.options.features == "ids":
            self.categorical = ("user_id", "item_id")

    def table(self, raw: Path) -> pl.LazyFrame:
        chosen, drawn = _matrix(find(raw, "train.ascii")), _matrix(find(raw, "test.ascii"))
        if chosen.shape != drawn.shape:
            raise DataError(f"{raw}: train.ascii is {chosen.shape}, test.ascii {drawn.shape}")
        user, item = np.indices(chosen.shape).reshape(2, -1)
        ratings = {"chosen": chosen.ravel(), "drawn": drawn.ravel()}
        cells = pl.LazyFrame({"user_id": user, "item_id": item, "group": user, **ratings})
        return (
            rated.funnel(cells, "coat", self.options)
            .join(_attributes(raw, "user", len(chosen)), on="user_id", maintain_order="left")
            .join(_attributes(raw, "item", chosen.shape[1]), on="item_id", maintain_order="left")
        )


def _matrix(path: Path) -> NDArray[np.int64]:
    """Read ratings, users by items: 0 where there is none."""
    try:
        ratings = np.loadtxt(path, dtype=np.int64, ndmin=2, encoding="utf-8-sig")
    except ValueError as error:
        raise DataError(f"{path} is not a matrix of integers: {error}") from error
    for user, item in np.argwhere((ratings < 0) | (ratings > 5))[:1]:
        raise DataError(
            f"{path}, row {user + 1}, column {item + 1}: rating {ratings[user, item]}"
            " is not one of 0 (none) to 5"
        )
    return ratings


def _words(path: Path) -> NDArray[np.str_]:
    """Read the attribute and the value of each column of one-hot attributes."""
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error}; get it again") from error
    for number, line in enumerate(lines, 1):
        if ":" not in line:
            raise DataError(f"{path}, line {number}: {line!r} is not attribute:value")
    return np.array([line.strip().split(":", 1) for line in lines])


def _attributes(raw: Path, kind: str, size: int) -> pl.LazyFrame:
    """Read the one-hot attributes of users or items as one column of words per attribute."""
    path, names = find(raw, f"{kind}_features.ascii"), find(raw, f"{kind}_features_map.txt")
    flags, words = _matrix(path), _words(names)
    if flags.shape != (size, len(words)):
        expected = f"{(size, len(words))} after the lines of {names}"
        raise DataError(f"{path} is {flags.shape}, expected {expected}")
    columns = {f"{kind}_id": np.arange(len(flags))}
    for attribute in dict.fromkeys(words[:, 0]):
        among = words[:, 0] == attribute
        for row in np.flatnonzero(flags[:, among].sum(1) != 1)[:1]:
            raise DataError(f"{path}, row {row + 1}: {attribute} must have exactly one 1")
        columns[f"{kind}_{attribute}"] = words[among, 1][flags[:, among].argmax(1)]
    return pl.LazyFrame(columns)
