"""OTTO: four weeks of sessions of clicks, carts and orders."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark.data.reading.layouts import Types
from benchmark.dataset import EventLog, Source, find, given, scan_json_lines

KINDS = ("clicks", "carts", "orders")
EVENT = pl.Struct({"aid": pl.Int64, "ts": pl.Int64, "type": pl.String})
FIELDS = {name: pl.element().struct.field(name) for name in ("aid", "ts", "type")}


def _all(fact: pl.Expr) -> pl.Expr:
    """Whether something is true of every event of a session."""
    return pl.col("events").list.eval(fact.fill_null(value=False)).list.all()


RULES = {
    **given("session", "events"),
    f"type must be one of {', '.join(KINDS)}": _all(FIELDS["type"].is_in(KINDS)),
    **{f"{name} must be given": _all(FIELDS[name].is_not_null()) for name in ("aid", "ts")},
}


class Otto(EventLog):
    """Each row is a click on an article in a session; a cart or an order may follow."""

    title = "OTTO, multi-objective recommender dataset"
    cite = "normann2023otto"
    licence = "CC BY 4.0"
    claims = (
        "A log of clicks: nothing about impressions, CTR, CTCVR or selection by the click can be "
        "learned or claimed from it. A row is a session's click on an article; later clicks on it "
        "within the window (option window_days, 7) repeat the row. macro (cart) and conversion "
        "(order) are 1 if they follow at or after the click within the window, attributed to the "
        "last row. Carts and orders without such a click, exact duplicates, and clicks of the last "
        "days, whose window the log cuts off, are dropped and counted. A session is all that "
        "one user did in the four weeks of the official train part. The week of the official test "
        "part is not used: it has other sessions, and in the competition's copy they were cut at "
        "random, so that what is missing there need not have failed to happen. "
        "Articles have no attributes. Splits follow each other in time (80/10/10), so sessions "
        "occur in several; they are no feature."
    )
    stages = ("click", "macro", "conversion")
    ids = ("item_id",)
    min_count = 5
    sources = (
        Source(
            file="recsys-dataset.zip",
            page="https://www.kaggle.com/datasets/otto/recsys-dataset",
            url="https://www.kaggle.com/api/v1/datasets/download/otto/recsys-dataset"
            "?datasetVersionNumber=1",
        ),
    )

    def events(self, raw: Path) -> pl.LazyFrame:
        """See :meth:`EventLog.events`."""
        schema: Types = {"session": pl.Int64, "events": pl.List(EVENT)}
        sessions = scan_json_lines(find(raw, "*train.jsonl"), schema, rules=RULES)
        kind = pl.col("type")
        return sessions.explode("events").unnest("events").select(
            who="session",
            item="aid",
            time="ts",
            click=kind == "clicks",
            macro=(kind == "carts").cast(pl.Int8),
            conversion=(kind == "orders").cast(pl.Int8),
        )  # fmt: skip
