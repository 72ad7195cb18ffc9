"""AliExpress: search results of one country, seen, clicked, bought."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from benchmark.dataset import Dataset, Options, Source, find, scan_table, split_by_hash, unique

Country = Literal["NL", "ES", "FR", "US", "RU"]
PAGE = "https://tianchi.aliyun.com/dataset/74690"
USER = tuple(f"user_{i}" for i in range(1, 34))  # user_1 and item_1 are the search's id
ITEM = tuple(f"item_{i}" for i in range(1, 50))  # item_49 is the label
CODES = (
    *USER[1:8], *USER[31:33],
    *(f"item_{i}" for i in (19, 34, 35, 36, 40, 41, 42)),
)  # fmt: skip
TEXT = ("user_1", "item_1", *CODES)
SHARES = {"train": 0.9, "valid": 0.1}


class AliExpressOptions(Options):
    """The options of AliExpress."""

    country: Country = "NL"
    """The country whose searches are read."""


class AliExpress(Dataset):
    """Each row is an item of a result page; label 1 is a click, 2 a click and a purchase."""

    title = "AliExpress search"
    cite = "li2020improving"
    licence = "Terms of the Tianchi page; an account is needed"
    claims = (
        "Impression, click and purchase are logged, so methods for the entire space apply. The "
        "test split is the official later one and as biased by clicks as train: no metric here is "
        "unbiased for what would have happened without a click. One country per run (option "
        "country). There are no user ids, item ids or times, just 16 coded and 63 numeric "
        "features; the window in which a purchase is attributed to a click is not published. "
        "Valid is a tenth of the searches of the official train part, drawn by a hash. Results of "
        "a search of which nothing else is known are dropped and counted."
    )
    stages = ("impression", "click", "conversion")
    categorical = CODES
    numeric = tuple(name for name in (*USER[8:], *ITEM[1:48]) if name not in CODES)
    sources = tuple(
        Source(file=f"aliexpress_{c}_datasets.zip", page=PAGE) for c in get_args(Country)
    )
    options: AliExpressOptions

    def table(self, raw: Path) -> pl.LazyFrame:
        country = self.options.country
        train = _part(raw, country, "train", split_by_hash(pl.col("user_1"), SHARES))
        return pl.concat([train, _part(raw, country, "test", pl.lit("test"))])


def _part(raw: Path, country: str, part: str, split: pl.Expr) -> pl.LazyFrame:
    path = find(raw, f"{country.lower()}_user_{part}.csv")
    searches = unique(_read(path, USER), "user_1", path, first_line=1)
    label = pl.col("item_49")
    rules = {"the label must be 0, 1 or 2": label.is_in([0, 1, 2])}
    items = _read(find(raw, f"{country.lower()}_item_{part}.csv"), ITEM, rules)
    return items.join(
        searches.with_columns(split=split),
        how="left", left_on="item_1", right_on="user_1", maintain_order="left",
    ).with_columns(
        dropped=pl.when(pl.col("split").is_null()).then(pl.lit("no features of the search")),
        group=pl.col("item_1"),
        click=(label >= 1).cast(pl.Int8),
        conversion=pl.when(label >= 1).then(label == 2).cast(pl.Int8),
    )  # fmt: skip


def _read(
    path: Path, columns: tuple[str, ...], rules: Mapping[str, pl.Expr] | None = None
) -> pl.LazyFrame:
    """Scan a file; codes stay text, which no notation of numbers can confuse.

    The numbers are shares of up to six digits: single precision holds them.
    """
    types = {name: _type(name) for name in columns}
    return scan_table(path, types, header=False, rules=rules)


def _type(name: str) -> type[pl.DataType]:
    if name in TEXT:
        return pl.String
    return pl.Int8 if name == "item_49" else pl.Float32
