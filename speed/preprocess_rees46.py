"""Measure how fast, and in how much memory, REES46's log of events becomes processed splits.

Run: python speed/preprocess_rees46.py [--rows 4000000]

Raw files are generated in the log's layout: views, carts and purchases of half a year, in the order
of time. A size that pandas survives is done in pandas as well, and must come out the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from measured import Layout, encoded, equal, frequent
from numpy.random import Generator

HEADER = (
    "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
)
KINDS = ("view", "cart", "remove_from_cart", "purchase")
SHARES = (0.93, 0.045, 0.005, 0.02)
START, DAYS, CHUNK = 1_600_905_600, 150, 500_000
PER_SESSION, PER_USER = 5, 12  # events
ITEMS, CATEGORIES, BRANDS = 50_000, 600, 2_000
WINDOW, LENGTH, MIN_COUNT = 7 * 86_400_000, 20, 5
PAIR = ["user_id", "item_id"]
FIELDS = [*PAIR, "category_id", "category_code", "brand", "hour", "weekday"]
COUNTS = [f"{of}{kind}s" for of in ("item_", "") for kind in ("click", "macro", "conversion")]
NUMBERS = [
    "log_price",
    *(f"log_{name}" for name in (*COUNTS, "same_item_clicks", "seconds_since_click")),
]


def write(raw: Path, rows: int) -> None:
    """Write so many events, half of a session's about one product."""
    rng = np.random.default_rng(1)
    session, time = _moments(rng, rows)
    user = rng.integers(1 + rows // PER_USER, size=1 + session.max())
    taste = rng.integers(ITEMS, size=1 + session.max())
    products = _products(rng)
    with (raw / "electronics-events.csv").open("wb") as file:
        file.write(HEADER.encode())
        for start in range(0, rows, CHUNK):
            own, when = session[start : start + CHUNK], time[start : start + CHUNK]
            other = (ITEMS * rng.random(len(own)) ** 4).astype(np.int64)
            item = np.where(rng.random(len(own)) < 0.5, taste[own], other)
            kind = pl.Series(KINDS).gather(rng.choice(len(KINDS), len(own), p=SHARES))
            lines = pl.DataFrame(
                {"when": when, "kind": kind, "item": item, "user": user[own], "session": own}
            ).select(_line(products))
            file.write(lines.to_series().str.join("\n").item().encode() + b"\n")


def _moments(rng: Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the session and the second of each event, in the order of time."""
    session = rng.integers(1 + rows // PER_SESSION, size=rows)
    start = rng.integers(DAYS * 86_400, size=1 + session.max())
    time = START + start[session] + rng.integers(3_600, size=rows)
    order = np.argsort(time, kind="stable")
    return session[order], time[order]


def _products(rng: Generator) -> pl.Series:
    """Return what stands between the event type and the user."""
    category = rng.integers(CATEGORIES, size=ITEMS)
    code = np.char.add("electronics.kind.n", category.astype(str))
    columns = {
        "product_id": 1_000_000 + np.arange(ITEMS) * 37,
        "category_id": 2_053_013_552_326_770_905 + category * 104_729,
        "category_code": np.where(category % 3 == 0, "", code),
        "brand": np.char.add("brand", rng.integers(BRANDS, size=ITEMS).astype(str)),
        "price": np.round(rng.lognormal(4, 1, size=ITEMS), 2),
    }
    return pl.DataFrame(columns).select(pl.concat_str(pl.all(), separator=",")).to_series()


def _line(products: pl.Series) -> pl.Expr:
    number = pl.col("session")
    digits = number.hash(seed=1).cast(pl.String).str.pad_start(20, "0")
    uuid = [digits.str.slice(a, n) for a, n in ((0, 8), (8, 4), (12, 4), (16, 4))]
    session = pl.format("{}-{}-{}-{}-{}", *uuid, digits.str.slice(3, 12))
    return pl.concat_str(
        pl.from_epoch("when", "s").dt.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "kind",
        pl.lit(products).gather(pl.col("item")),
        pl.col("user") + 500_000_000,
        session,
        separator=",",
    )


def in_pandas(raw: Path) -> dict[str, pd.DataFrame]:
    """Return the encoded splits, made as one does in pandas."""
    events = _read(raw)
    rows = _attributed(events, _with_past(events))
    early, late = (rows["time"].quantile(share, interpolation="higher") for share in (0.8, 0.9))
    number = (rows["time"] >= early).astype(int) + (rows["time"] >= late)
    train = rows[number == 0]
    known = {field: frequent(train[field], MIN_COUNT) for field in FIELDS}
    means, spreads = train[NUMBERS].mean(), train[NUMBERS].std()
    history = _histories(events, rows, known)
    return {
        split: _encoded(rows[number == index], known, means, spreads).join(history)
        for index, split in enumerate(("train", "valid", "test"))
    }


def _read(raw: Path) -> pd.DataFrame:
    """Return the events by time, with what kind they are of."""
    events = pd.read_csv(raw / "electronics-events.csv")
    kind = events["event_type"]
    if not kind.isin(KINDS).all() or events[["user_id", "product_id"]].isna().any(axis=None):
        raise ValueError("an event lacks its user or product, or is of no known type")
    moment = pd.to_datetime(events["event_time"], format="%Y-%m-%d %H:%M:%S UTC")
    known = events.assign(
        time=moment.astype("datetime64[ms]").astype(np.int64),
        item_id=events["product_id"],
        hour=moment.dt.hour,
        weekday=moment.dt.dayofweek + 1,
        log_price=np.log(events["price"].where(events["price"] > 0)),
        click=kind == "view",
        macro=(kind == "cart").astype(int),
        conversion=(kind == "purchase").astype(int),
        change=(kind == "cart").astype(int) - (kind == "remove_from_cart"),
    ).drop_duplicates()
    return known.sort_values(["time", "item_id"], ignore_index=True)


def _with_past(events: pd.DataFrame) -> pd.DataFrame:
    """Add what was known right before each event."""
    of_item = _before(events, ["item_id"], ["click", "macro", "conversion"]).add_prefix("item_")
    own = _before(events, ["user_id"], ["click", "macro", "conversion"])
    same = _before(events, ["user_id", "item_id"], ["click"]).add_prefix("same_item_")
    counts = pd.concat([of_item, own, same], axis=1)
    views = events.loc[events["click"], ["user_id", "time"]].assign(seen=lambda view: view["time"])
    last = pd.merge_asof(events, views, on="time", by="user_id", allow_exact_matches=False)["seen"]
    logs = pd.DataFrame(np.log1p(counts)).add_prefix("log_").add_suffix("s")
    return pd.concat([events, logs], axis=1).assign(
        log_seconds_since_click=np.log1p((events["time"] - last) / 1000), views=counts["click"]
    )


def _before(events: pd.DataFrame, key: list[str], flags: list[str]) -> pd.DataFrame:
    """Count the flags of the same key's earlier events; those of the same time are not earlier."""
    sums = events.groupby(key)[flags].cumsum()
    known = pd.concat([events[["time", *key]], sums], axis=1)
    requests = events[["time", *key]]
    matched = pd.merge_asof(requests, known, on="time", by=key, allow_exact_matches=False)
    return matched[flags].fillna(0)


def _attributed(events: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return the clicks that open a row, with what followed in its window."""
    opened, clicks = [], known[known["click"]]
    while len(clicks):
        opened.append(clicks.drop_duplicates(PAIR))
        clicks = clicks[clicks["time"] > clicks.groupby(PAIR)["time"].transform("first") + WINDOW]
    rows = pd.concat(opened).sort_values("time", kind="stable", ignore_index=True)
    rows = rows.assign(row=rows.index, opened=rows["time"])
    acts = events.loc[~events["click"], [*PAIR, "time", "change", "conversion"]]
    done = pd.merge_asof(acts, rows[[*PAIR, "time", "row", "opened"]], on="time", by=PAIR)
    done = done[done["time"] <= done["opened"] + WINDOW]
    sums = done.groupby("row")[["change", "conversion"]].sum().reindex(rows.index, fill_value=0)
    bought = done[done["conversion"] > 0].groupby("row")["time"].min()
    return rows.assign(
        macro=(sums["change"] > 0).astype(int),
        conversion=(sums["conversion"] > 0).astype(int),
        conversion_delay=(bought - rows["time"]) / 1000,
    )[rows["time"] <= events["time"].max() - WINDOW]


def _histories(
    events: pd.DataFrame, rows: pd.DataFrame, known: dict[str, pd.Index[Any]]
) -> pd.DataFrame:
    """Return the ids of the last views before each row, a column per place."""
    views = events[events["click"]].sort_values("user_id", kind="stable", ignore_index=True)
    first = views.drop_duplicates("user_id").reset_index().set_index("user_id")["index"]
    end = rows["user_id"].map(first).to_numpy() + rows["views"].to_numpy(dtype=np.int64)
    back = np.arange(-LENGTH, 0)
    there = back >= -rows["views"].to_numpy()[:, None]
    index = np.maximum(end[:, None] + back, 0)
    columns: dict[str, Any] = {}
    for field in ("category_id", "item_id"):
        ids = known[field].get_indexer(pd.Index(views[field])) + 1
        recent = np.where(there, ids[index], 0)
        columns |= {f"recent_{field} {i}": recent[:, i] for i in range(LENGTH)}
    return pd.DataFrame(columns, index=rows.index)


def _encoded(
    rows: pd.DataFrame, known: dict[str, pd.Index[Any]], means: pd.Series, spreads: pd.Series
) -> pd.DataFrame:
    return encoded(rows, known, means, spreads).assign(
        macro=rows["macro"],
        conversion=rows["conversion"],
        group=rows["user_id"].rank(method="dense").astype(np.uint32),
        click_time=rows["time"] / 1000,
        conversion_delay=rows["conversion_delay"],
    )


def check(split: Path, frame: pd.DataFrame) -> None:
    """Assert that a processed split has the rows that pandas made, in any order."""
    ours = pl.read_parquet(split)
    for name in ("recent_category_id", "recent_item_id"):
        places = [f"{name} {i}" for i in range(LENGTH)]
        ours = ours.with_columns(pl.col(name).arr.to_struct(places)).unnest(name)
    order = ["group", "click_time", "item_id", "category_id", "log_price", "log_item_clicks"]
    equal(ours.sort(order), frame.sort_values(order))


if __name__ == "__main__":
    Layout("rees46", write, in_pandas, check).main(
        "Measure the preprocessing of REES46's log.", 4_000_000
    )
