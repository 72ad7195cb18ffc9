"""JDATA 2016: users who browse products, click parts of their pages, cart, follow and order."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from math import sqrt
from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.reading.event_log import SECOND
from benchmark.data.reading.layouts import listed
from benchmark.dataset import (
    DataError,
    EventLog,
    EventOptions,
    Source,
    WindowDays,
    find,
    find_all,
    scan_table,
    split_at,
    unique,
)

NUMBER = re.compile(r"\d+(\.0)?")
PAGE = "https://jdata.jd.com"
ACTIONS = {
    "user_id": pl.Float64, "sku_id": pl.Int64, "time": pl.String, "model_id": pl.Float64,
    **dict.fromkeys(("type", "cate", "brand"), pl.Int64),
}  # fmt: skip
BROWSE, CART, UNCART, ORDER, FOLLOW, CLICK = range(1, 7)
KIND, MODULE = pl.col("type"), pl.col("model_id").cast(pl.Int64)
PAIR = ("user_id", "sku_id")
BEIJING = timezone(timedelta(hours=8))
LOCAL = pl.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="ms")
TIME = LOCAL.dt.epoch("ms") - 8 * 3_600_000
VALID, TEST = (
    int(datetime(2016, 4, day, tzinfo=BEIJING).timestamp() * 1000) for day in (1, 6)
)  # fmt: skip
RULES = {
    "user_id and sku_id must not be missing": pl.all_horizontal(pl.col(PAIR).is_not_null()),
    "time must be YYYY-MM-DD HH:MM:SS": LOCAL.is_not_null(),
    "type must be an integer from 1 to 6": KIND.is_between(1, 6),
}
USER, PRODUCT = ("age", "sex"), ("a1", "a2", "a3")
UNKNOWN = ["-1", "NULL"]
LIFT, Z_SCORE, BUTTON = 1.5, 3.0, 1 / 3


class JData2016Options(EventOptions):
    """The options of JDATA 2016."""

    window_days: WindowDays = 5
    micro_modules: tuple[int, ...] | None = None
    """The model_ids of the modules whose clicks are micro; null chooses them on train."""


class JData2016(EventLog):
    """Each row is a browsed page; clicks on chosen modules are micro, cart and follow macro.

    A module is chosen if, among pairs of user and product before April, the share ordered is 1.5
    times as high with a click on it (before the order) as without, and 3 standard errors higher;
    unless a third of its clicks share their second with a cart, follow or order: it is the button.
    """

    title = "JDATA 2016"
    cite = "jdata2016"
    licence = "Terms of the JDATA competition; no redistribution"
    claims = (
        "A log of clicks (browsed pages): nothing about impressions, CTR, CTCVR or selection by "
        "the click can be learned or claimed from it; what it tests is the part of the funnel "
        "after the click. A row is a user's browsing of a product; browsing it again within the "
        "window (option window_days, 5) repeats the row. What follows in the window, at or after "
        "the click, counts for the last row: conversion is an order, macro more carts and follows "
        "than removals from the cart, micro a click on one of the modules of the page that go "
        "with orders without being the button for them. Nearly every visit has some click on the "
        "page, so a flag for any would say nothing; the modules are chosen on actions before "
        "April 2016 only, or given (option micro_modules), and micro results hold for this "
        "choice. Orders outside the windows of all rows, repeated actions and "
        "clicks of the last days, whose window the end of the log cuts off, are dropped. Splits "
        "follow each other: train to 31 March, valid 1 to 5 April, test from 6 April (Beijing). "
        "The level and registration of users were taken after the log and are no features; "
        "comments are not used. Hours and weekdays are in UTC."
    )
    stages = ("click", "micro", "macro", "conversion")
    context = ("cate", "brand")
    sources = tuple(
        Source(file=f"JData_{part}.csv", page=PAGE)
        for part in (
            "Action_201602", "Action_201603", "Action_201603_extra", "Action_201604", "User",
            "Product",
        )
    )  # fmt: skip
    min_count = 5
    options: JData2016Options

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.categorical = (*self.categorical, *USER, *PRODUCT)
        self._chosen_modules: dict[Path, list[int]] = {}

    def parts(self, raw: Path) -> Mapping[str, pl.LazyFrame]:
        products = {"sku_id": pl.Int64, **dict.fromkeys(PRODUCT, pl.Int64)}
        path = find(raw, "JData_Product.csv")
        goods = unique(scan_table(path, products, null_values=("-1",)), "sku_id", path)
        users = _users(find(raw, "JData_User.csv"))
        return {
            name: rows.join(users, on="user_id", how="left", maintain_order="left").join(
                goods, left_on="item_id", right_on="sku_id", how="left", maintain_order="left"
            )
            for name, rows in super().parts(raw).items()
        }

    def notes(self, raw: Path) -> str:
        return f"The modules here: {', '.join(map(str, self._modules(raw)))}."

    def _modules(self, raw: Path) -> list[int]:
        """Return the modules that the option names, or those chosen on the actions in train."""
        if (modules := self.options.micro_modules) is not None:
            return list(modules)
        if raw not in self._chosen_modules:
            self._chosen_modules[raw] = _telling_modules(_actions(raw))
        return self._chosen_modules[raw]

    def events(self, raw: Path) -> pl.LazyFrame:
        actions = _actions(raw)
        if not (modules := self._modules(raw)):
            raise DataError(
                f"{raw}: no module goes with orders before April, so that micro has no content; "
                "get all of the log, or name modules in the option micro_modules"
            )
        telling = MODULE.is_in(pl.Series(modules, dtype=pl.Int64).implode()) & (KIND == CLICK)
        added = KIND.is_in([CART, FOLLOW]).cast(pl.Int8)
        return actions.select(
            "cate",
            "brand",
            who=pl.col("user_id").cast(pl.Int64),
            item="sku_id",
            time=TIME,
            click=KIND == BROWSE,
            micro=telling.fill_null(value=False).cast(pl.Int8),
            macro=added - (KIND == UNCART).cast(pl.Int8),
            conversion=(KIND == ORDER).cast(pl.Int8),
            kind=KIND,
            module=MODULE,
        )

    def finished(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        starts = {"valid": VALID / SECOND, "test": TEST / SECOND}
        return rows.with_columns(split=split_at(pl.col("click_time"), starts))


def _actions(raw: Path) -> pl.LazyFrame:
    files = find_all(raw, "JData_Action_*.csv")
    return pl.concat([scan_table(path, ACTIONS, rules=RULES) for path in files])


def _telling_modules(actions: pl.LazyFrame) -> list[int]:
    """Return the modules whose clicks go with orders, in the actions before April."""
    train = actions.filter(TIME < VALID)
    ordered = train.group_by(PAIR).agg(order=TIME.filter(KIND == ORDER).min())
    acts = train.filter(KIND.is_in([CART, ORDER, FOLLOW])).select(*PAIR, "time").unique()
    before = pl.col("order").is_null() | (pl.col("clicked") <= pl.col("order"))
    clicked = (
        train.filter(KIND == CLICK, MODULE.is_not_null())
        .join(acts.with_columns(acts=True), on=[*PAIR, "time"], how="left")
        .group_by(*PAIR, module=MODULE)
        .agg(clicked=TIME.min(), clicks=pl.len(), acts=pl.col("acts").sum())
        .join(ordered, on=PAIR)
        .group_by("module")
        .agg(
            pl.col("clicks", "acts").sum(),
            pairs=before.sum(),
            orders=(before & pl.col("order").is_not_null()).sum(),
        )
        .filter(pl.col("acts") < BUTTON * pl.col("clicks"))
        .sort("module")
    )
    totals = ordered.select(pairs=pl.len(), orders=pl.col("order").count())
    modules, total = pl.collect_all([clicked.select("module", "pairs", "orders"), totals])
    return [module for module, *counts in modules.rows() if _raised(counts, total.row(0))]


def _raised(counts: list[int], total: tuple[int, int]) -> bool:
    """Compare the share of orders in some pairs with that in all others."""
    (pairs, orders), others = counts, total[0] - counts[0]
    if not pairs or not others:
        return False
    share, rest, overall = orders / pairs, (total[1] - orders) / others, total[1] / total[0]
    error = sqrt(overall * (1 - overall) * (1 / pairs + 1 / others))
    return share >= LIFT * rest and share - rest > Z_SCORE * error


def _users(path: Path) -> pl.LazyFrame:
    """Read ages and sexes; unlike the other files, this one is in GBK."""
    try:
        table = csv.reader(path.read_text(encoding="gbk").splitlines())
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in GBK: {error}; get it again") from error
    header = next(table, [])
    if lacking := [name for name in ("user_id", *USER) if name not in header]:
        raise DataError(
            f"{path}, line 1: the header lacks {', '.join(lacking)}; it has {listed(header)}"
        )
    users: dict[int, tuple[str, ...]] = {}
    for number, cells in enumerate(table, 2):
        if len(cells) != len(header):
            raise DataError(
                f"{path}, line {number}: {len(cells)} cells, expected {len(header)}: "
                f"{', '.join(header)}"
            )
        row = dict(zip(header, cells, strict=True))
        if not NUMBER.fullmatch(text := row["user_id"]):
            raise DataError(f"{path}, line {number}: user_id {text!r} is not a number")
        if (user := int(float(text))) in users:
            raise DataError(f"{path}, line {number}: user_id {user} is there already")
        users[user] = tuple(row[name] for name in USER)
    schema = {"user_id": pl.Int64, **dict.fromkeys(USER, pl.String)}
    rows = [(user, *facts) for user, facts in users.items()]
    return pl.LazyFrame(rows, schema, orient="row").with_columns(
        pl.col(USER).replace(UNKNOWN, None)
    )
