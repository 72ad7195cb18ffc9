"""Trivago: hotels in the list from which a user clicked out to a booking site."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from benchmark.data.reading.history import Past
from benchmark.dataset import (
    Dataset,
    Source,
    Span,
    find,
    scan_table,
    seconds,
    span,
    split_at,
    unique,
)

CLICK_OUT = "clickout item"
ON_ITEM = tuple(f"interaction item {part}" for part in ("image", "info", "rating", "deals"))
NEW_LIST = (
    "filter selection", "change of sort order", "search for destination", "search for poi",
    "search for item",
)  # fmt: skip
ACTION = pl.col("action_type")
DAY = 86_400
KNOWN = (CLICK_OUT, *ON_ITEM, *NEW_LIST)
SESSION = ("user_id", "session_id")
TYPES: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(SESSION, pl.String),
    **dict.fromkeys(("timestamp", "step"), pl.Int64),
    **dict.fromkeys(
        ("action_type", "reference", "platform", "city", "device", "current_filters",
         "impressions", "prices"),
        pl.String,
    ),
}  # fmt: skip
LISTS = (
    "(click-outs) impressions and prices must be integers between |, as many of these as of those"
)
RULES = {
    **{f"{name} must not be missing": pl.col(name).is_not_null() for name in (*SESSION, "step")},
    **seconds("timestamp"),
    f"action_type must be one of {', '.join(KNOWN)}": ACTION.is_in(KNOWN),
    LISTS: (ACTION != CLICK_OUT)
    | pl.all_horizontal(pl.col("impressions", "prices").str.contains(r"^\d+(\|\d+)*$"))
    & (pl.col("impressions").str.count_matches(r"\|") == pl.col("prices").str.count_matches(r"\|")),
}
LENGTH = 10


class Trivago(Dataset):
    """Each row is a hotel of a list; an interaction is the click, a click-out the conversion.

    A list is dealt with from the search, filter, sorting or click-out before it in the session
    to its click-out.
    """

    title = "Trivago (RecSys Challenge 2019)"
    cite = "adamczak2020session"
    licence = "Terms of the challenge, for research; registration is needed"
    claims = (
        "Nothing was booked here: 'conversion' is the click-out, which leaves the site and ends "
        "what is known. 'Click' is not one either: it is 1 if the user dealt with the hotel in "
        "the list, by its images, info, rating or deals before the click-out, or by the click-out "
        "itself. So P(click) P(conversion | click) is the probability of the click-out, and a "
        "click-out without a look before it counts as a click that converted. Call these "
        "interaction and click-out in any report; there is no micro behaviour after the click. A "
        "list is logged only where a click-out happened, and holds exactly one: rates say nothing "
        "of lists without one, and only comparisons within lists carry over. Interactions count "
        "from the last search, filter, sorting or click-out of the session on, hence on the list "
        "as it was last shown; features, place and price among them, are from before that; "
        "histories are the hotels dealt with earlier in the session. Splits are in time, by the "
        "UTC day on which a session starts: the last day of train.csv is test, the one before "
        "valid. The official test part hides the click-outs to predict and is not used. "
        "Click-outs on a hotel that their list lacks, and repeated steps, are dropped."
    )
    stages = ("impression", "click", "conversion")
    proxy_label = "click-out"
    categorical = ("item_id", "item_stars", "platform", "city", "device", "place", "dealt_before")
    numeric = (
        "log_price", "log_price_to_list", "log_list_size", "log_item_properties", "filters",
        "log_steps_before",
    )  # fmt: skip
    sequences = {"recent_items": ("item_id", LENGTH)}
    sources = (
        Source(
            file="trivagoRecSysChallengeData2019_v2.zip",
            page="https://recsys.trivago.cloud/challenge/dataset/",
        ),
    )
    min_count = 5

    def table(self, raw: Path) -> pl.LazyFrame:
        actions = scan_table(find(raw, "train.csv"), TYPES, rules=RULES).with_row_index("row")
        known = _in_order(actions)
        log = span(known.lazy().select("timestamp"), DAY) or Span(0, 0)
        inside = log.holds(pl.col("timestamp"))
        steps = _visits(known.filter(inside, ~pl.col("repeated")))
        dealt = steps.filter(~pl.col("out")).select("visit", "item", dealt=True).drop_nulls()
        rows = (
            _impressions(actions, _click_outs(steps))
            .join(
                dealt.unique().lazy(), left_on=["group", "item_id"], right_on=["visit", "item"],
                how="left", maintain_order="left",
            )
            .join(_hotels(raw), on="item_id", how="left", maintain_order="left")
        )  # fmt: skip
        out = pl.col("item_id") == pl.col("item")
        click = out | pl.col("dealt").fill_null(value=False)
        labelled = rows.with_columns(
            click=click.cast(pl.Int8),
            conversion=pl.when(click).then(out).cast(pl.Int8),
            dealt_before=pl.col("recent_items").list.contains(pl.col("item_id")).cast(pl.Int8),
        )
        lost = known.lazy().filter(pl.col("repeated") | ~inside)
        rule = pl.when(inside).then(pl.lit("repeated step")).otherwise(pl.lit(log.rule))
        return pl.concat([labelled, lost.select(dropped=rule)], how="diagonal")


def _in_order(actions: pl.LazyFrame) -> pl.DataFrame:
    """Return all actions, session by session, and which of them repeat the step before."""
    item = pl.when(ACTION.is_in([CLICK_OUT, *ON_ITEM])).then("reference")
    again = pl.struct("session", "step").rle_id().diff() == 0
    return (
        actions.select(
            "row", *SESSION, "timestamp", "step",
            out=ACTION == CLICK_OUT,
            new=ACTION.is_in(NEW_LIST),
            item=item.cast(pl.Int64, strict=False),
        )
        .sort(*SESSION, "step", "row")
        .with_columns(session=pl.struct(SESSION).rle_id())
        .drop(SESSION)
        .with_columns(repeated=again.fill_null(value=False))
        .collect()
    )  # fmt: skip


def _visits(steps: pl.DataFrame) -> pl.DataFrame:
    """Number the visits of lists: each ends with its click-out, or before another list is shown."""
    returned = pl.col("out").shift(1, fill_value=True).over("session")
    return steps.with_columns(visit=(pl.col("new") | returned).cum_sum()).with_columns(
        shown_at=pl.col("step").min().over("visit"),
        day=pl.col("timestamp").min().over("session") // DAY,
    )


def _click_outs(steps: pl.DataFrame) -> pl.LazyFrame:
    """Return per click-out its split, and what its session dealt with before the list."""
    out = steps.filter("out")
    shown = out.select("session", pl.col("shown_at").alias("time"))
    dealt = steps.drop_nulls("item").select("session", pl.col("step").alias("time"), "item")
    events = pl.concat([shown, dealt], how="diagonal")
    flags, rows = events["item"].is_not_null().to_numpy(), np.arange(len(out))
    last = out["day"].max()
    return out.lazy().select(
        "row", "item",
        group="visit",
        split=split_at(pl.col("day"), {"valid": pl.lit(last) - 1, "test": pl.lit(last)}),
        log_steps_before=(pl.col("shown_at") - 1).log1p(),
        recent_items=Past(events, "session").last(events["item"], flags, LENGTH, rows),
    )  # fmt: skip


def _impressions(actions: pl.LazyFrame, click_outs: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per listed hotel."""
    shown, prices = (
        pl.col(name).str.split("|").cast(pl.List(pl.Int64)) for name in ("impressions", "prices")
    )
    missing = ~pl.col("item_id").list.contains(pl.col("item")).fill_null(value=False)
    return (
        actions.select("row", "platform", "city", "device", "current_filters",
                       item_id=shown, price=prices)
        .join(click_outs, on="row", maintain_order="left")
        .with_columns(
            dropped=pl.when(missing).then(pl.lit("list without the hotel clicked out to")),
            place=pl.int_ranges(1, pl.col("item_id").list.len() + 1),
            log_list_size=pl.col("item_id").list.len().log(),
            middle=pl.col("price").list.median(),
            filters=pl.col("current_filters").str.count_matches(r"\|").add(1).fill_null(0),
        )
        .explode("item_id", "price", "place")
        .with_columns(
            log_price=pl.col("price").log1p(),
            log_price_to_list=pl.col("price").log1p() - pl.col("middle").log1p(),
        )
    )  # fmt: skip


def _hotels(raw: Path) -> pl.LazyFrame:
    text = pl.col("properties")
    path = find(raw, "item_metadata.csv")
    hotels = scan_table(path, {"item_id": pl.Int64, "properties": pl.String})
    return unique(hotels, "item_id", path).select(
        "item_id",
        item_stars=text.str.extract(r"(?:^|\|)([1-5]) Star(?:\||$)"),
        log_item_properties=text.str.count_matches(r"\|").add(1).log(),
    )
