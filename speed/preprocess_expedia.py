"""Measure how fast, and in how much memory, Expedia's hotel searches become processed splits.

Run: python speed/preprocess_expedia.py [--rows 8000000]

The raw file is generated in the log's layout: one CSV with a header, 25 hotels per search, a third
of the searches in random order, most cells about competitors missing. A size that pandas survives
is done in pandas as well, and must come out the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from measured import Layout, check, encoded, frequent
from numpy.random import Generator

HOTELS_PER_SEARCH, CHUNK, POOL, HOTELS, START = 25, 20_000, 20_000, 100_000, 1_351_728_000
RIVALS = [f"comp{i}_{what}" for i in range(1, 9) for what in ("rate", "inv", "rate_percent_diff")]
SEARCH = [
    "srch_destination_id", "srch_length_of_stay", "srch_booking_window", "srch_adults_count",
    "srch_children_count", "srch_room_count", "srch_saturday_night_bool",
    "srch_query_affinity_score", "orig_destination_distance", "random_bool",
]  # fmt: skip
VISITOR = [
    "site_id", "visitor_location_country_id", "visitor_hist_starrating", "visitor_hist_adr_usd",
]  # fmt: skip
HOTEL = [
    "prop_country_id", "prop_id", "prop_starrating", "prop_review_score", "prop_brand_bool",
    "prop_location_score1", "prop_location_score2", "prop_log_historical_price",
]  # fmt: skip
OFFER = ["position", "price_usd", "promotion_flag"]
OUTCOME = ["click_bool", "gross_bookings_usd", "booking_bool"]
HEADER = ["srch_id", "date_time", *VISITOR, *HOTEL, *OFFER, *SEARCH, *RIVALS, *OUTCOME]
FLAGS = ["random_bool", "click_bool", "booking_bool"]
CODES = [
    *VISITOR[:2], "srch_destination_id", *SEARCH[3:7], *HOTEL[:5], "promotion_flag", "position",
    *(name for name in RIVALS if not name.endswith("diff")),
]  # fmt: skip
NUMBERS = [
    *VISITOR[2:], *SEARCH[1:3], "srch_query_affinity_score", *HOTEL[5:], "log_price",
    "log_distance", "list_size", "log_price_to_list",
]  # fmt: skip


def write(raw: Path, rows: int) -> None:
    """Write so many hotels shown."""
    rng = np.random.default_rng(1)
    pools = [_pool(part) for part in (_visitors(rng), _hotels(rng), _searches(rng), _rivals(rng))]
    searches = max(1, rows // HOTELS_PER_SEARCH)
    with (raw / "train.csv").open("wb") as file:
        file.write(",".join(HEADER).encode() + b"\n")
        for start in range(0, searches, CHUNK):
            ids = np.arange(start, min(start + CHUNK, searches))
            file.write(_lines(ids, pools, rng))


def _pool(columns: dict[str, np.ndarray]) -> pl.Series:
    """Return texts of several cells each; a number that is not finite is missing."""
    cells = [
        pl.lit(pl.Series(column)).cast(pl.String).replace("NaN", "NULL")
        for column in columns.values()
    ]
    return pl.select(pl.concat_str(cells, separator=",")).to_series()


def _mostly_missing(rng: Generator, share: float, values: np.ndarray) -> np.ndarray:
    return np.where(rng.random(POOL) < share, np.nan, values)


def _visitors(rng: Generator) -> dict[str, np.ndarray]:
    return {
        "site_id": rng.integers(1, 35, POOL),
        "visitor_location_country_id": rng.integers(1, 232, POOL),
        "visitor_hist_starrating": _mostly_missing(rng, 0.95, np.round(5 * rng.random(POOL), 2)),
        "visitor_hist_adr_usd": _mostly_missing(rng, 0.95, np.round(300 * rng.random(POOL), 2)),
    }


def _hotels(rng: Generator) -> dict[str, np.ndarray]:
    return {
        "prop_country_id": rng.integers(1, 231, HOTELS),
        "prop_id": rng.permutation(HOTELS) + 1,
        "prop_starrating": rng.integers(0, 6, HOTELS),
        "prop_review_score": rng.integers(0, 11, HOTELS) / 2,
        "prop_brand_bool": rng.integers(0, 2, HOTELS),
        "prop_location_score1": np.round(7 * rng.random(HOTELS), 2),
        "prop_location_score2": np.round(rng.random(HOTELS), 4),
        "prop_log_historical_price": np.round(6 * rng.random(HOTELS), 2),
    }


def _searches(rng: Generator) -> dict[str, np.ndarray]:
    return {
        "srch_destination_id": rng.integers(1, 28_417, POOL),
        "srch_length_of_stay": rng.integers(1, 15, POOL),
        "srch_booking_window": rng.integers(0, 300, POOL),
        "srch_adults_count": rng.integers(1, 5, POOL),
        "srch_children_count": rng.integers(0, 4, POOL),
        "srch_room_count": rng.integers(1, 4, POOL),
        "srch_saturday_night_bool": rng.integers(0, 2, POOL),
        "srch_query_affinity_score": _mostly_missing(
            rng, 0.94, -np.round(99 * rng.random(POOL), 4)
        ),
        "orig_destination_distance": _mostly_missing(
            rng, 0.32, np.round(9e3 * rng.random(POOL), 2)
        ),
        "random_bool": (rng.random(POOL) < 0.3).astype(int),
    }


def _rivals(rng: Generator) -> dict[str, np.ndarray]:
    values = {"rate": (-1, 2), "inv": (0, 2), "rate_percent_diff": (2, 60)}
    return {
        name: pl.Series(rng.integers(*values[name.split("_", 1)[1]], size=POOL))
        .cast(pl.String)
        .set(pl.Series(rng.random(POOL) < 0.7), "NULL")
        .to_numpy()
        for name in RIVALS
    }


def _lines(ids: np.ndarray, pools: list[pl.Series], rng: Generator) -> bytes:
    """Return the lists of some searches; hotels that follow each other in the pool are unlike."""
    search = np.repeat(np.arange(len(ids)), HOTELS_PER_SEARCH)
    rank = np.tile(np.arange(HOTELS_PER_SEARCH), len(ids))
    visitor, hotel, query = (rng.integers(len(pool), size=len(ids)) for pool in pools[:3])
    when = pl.Series(START + rng.integers(240 * 86_400, size=len(ids)))
    click = rng.random(len(search)) < 0.045
    booking = click & (rng.random(len(search)) < 0.6)
    paid = np.where(booking, np.round(1_000 * rng.random(len(search)), 2), np.nan)
    texts = [
        pl.Series(ids[search]),
        pl.from_epoch(when, "s").dt.strftime("%Y-%m-%d %H:%M:%S").gather(search),
        pools[0].gather(visitor[search]),
        pools[1].gather((hotel[search] + rank) % HOTELS),
        _pool({
            "position": rank + 1,
            "price_usd": np.round(rng.lognormal(5, 0.6, len(search)), 2),
            "promotion_flag": (rng.random(len(search)) < 0.2).astype(int),
        }),
        pools[2].gather(query[search]),
        pools[3].gather(rng.integers(POOL, size=len(search))),
        _pool({"click": click.astype(int), "paid": paid, "booking": booking.astype(int)}),
    ]  # fmt: skip
    lines = pl.select(pl.concat_str([pl.lit(text) for text in texts], separator=","))
    text: str = lines.to_series().str.join("\n").item()
    return text.encode() + b"\n"


def in_pandas(raw: Path) -> dict[str, pd.DataFrame]:
    """Return the encoded splits, made as one does in pandas."""
    rows = pd.read_csv(
        raw / "train.csv", usecols=lambda name: not str(name).endswith(("diff", "ings_usd"))
    )
    _checked(rows)
    searches = rows.groupby("srch_id")
    when = pd.to_datetime(rows["date_time"], format="%Y-%m-%d %H:%M:%S")
    if searches["random_bool"].nunique().gt(1).any():
        raise ValueError("a search has two orders")
    if rows.duplicated(["srch_id", "prop_id"]).any():
        raise ValueError("a search lists a hotel twice")
    logged = when[rows["random_bool"] == 0].groupby(rows["srch_id"]).min()
    early: Any
    late: Any
    early, late = (logged.quantile(share, interpolation="higher") for share in (0.8, 0.9))
    moment = rows["srch_id"].map(logged)
    splits = [np.array([name]) for name in ("test", "train", "valid")]
    split = np.select([moment.isna(), moment < early, moment < late], splits, "test")
    rows = rows.assign(
        split=split,
        prop_log_historical_price=rows["prop_log_historical_price"].where(lambda price: price > 0),
        log_price=np.log1p(rows["price_usd"]),
        log_distance=np.log1p(rows["orig_destination_distance"]),
        list_size=rows["srch_id"].map(searches.size()),
        log_price_to_list=np.log1p(rows["price_usd"])
        - np.log1p(rows["srch_id"].map(searches["price_usd"].median())),
    )[~((rows["click_bool"] == 0) & (rows["booking_bool"] == 1))]
    if np.isinf(rows[NUMBERS]).any(axis=None):
        raise ValueError("a number is infinite")
    train = rows[rows["split"] == "train"]
    known = {field: frequent(train[field], 5) for field in CODES}
    means, spreads = train[NUMBERS].mean(), train[NUMBERS].std()
    return {
        name: _encoded(rows[rows["split"] == name], known, means, spreads)
        for name in ("train", "valid", "test")
    }


def _checked(rows: pd.DataFrame) -> None:
    if not rows[FLAGS].isin([0, 1]).all(axis=None) or rows["srch_id"].isna().any():
        raise ValueError("a flag is not 0 or 1, or a search has no number")
    if not (rows["price_usd"] >= 0).all():
        raise ValueError("a price is below 0, or missing")


def _encoded(
    rows: pd.DataFrame, known: dict[str, pd.Index], means: pd.Series, spreads: pd.Series
) -> pd.DataFrame:
    return encoded(rows, known, means, spreads).assign(
        click=rows["click_bool"].astype(np.int8),
        conversion=rows["booking_bool"].where(rows["click_bool"] == 1),
        group=rows["srch_id"].rank(method="dense").astype(np.uint32),
    )


if __name__ == "__main__":
    Layout("expedia", write, in_pandas, check).main(
        "Measure the preprocessing of Expedia's hotel searches.", 8_000_000
    )
