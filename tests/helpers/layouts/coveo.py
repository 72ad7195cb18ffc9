"""Coveo: searches with lists as text, events in no order, and products with their vectors."""

from __future__ import annotations

import ast
import csv
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from math import ceil, log1p
from pathlib import Path
from typing import Any

from helpers.raw_logs import Row

START = 1_550_000_000_000
ACTIONS = ("detail", "add", "remove", "purchase", "")
VECTOR = '"[0.1, -0.2]"'


def write(folder: Path, sessions: int = 60) -> None:
    rng = random.Random(8)
    top = folder / "train"
    top.mkdir(parents=True, exist_ok=True)
    searches = [
        "session_id_hash,query_vector,clicked_skus_hash,product_skus_hash,server_timestamp_epoch_ms"
    ]
    events = [
        "session_id_hash,event_type,product_action,product_sku_hash,server_timestamp_epoch_ms,"
        "hashed_url"
    ]
    for session in range(sessions):
        start = START + rng.randint(0, 80 * 86_400_000)
        products = [f"e{rng.randint(0, 30):02}" for _ in range(6)]
        for _ in range(rng.randint(1, 3)):
            shown = rng.sample(products, rng.randint(0, 4))
            clicked = [sku for sku in shown if rng.random() < 0.5] + rng.choice([[], [], ["e77"]])
            texts = [f'"{skus}"' if skus else "" for skus in (clicked, shown)]
            time = start + rng.randint(0, 40) * 1000
            searches.append(f"s{session},{VECTOR},{texts[0]},{texts[1]},{time}")
        for _ in range(rng.randint(0, 12)):
            kind, time = rng.choice(ACTIONS), start + rng.randint(0, 60) * 1000
            sku = rng.choice(products) if kind else ""
            name = "event_product" if kind else "pageview"
            events.append(f"s{session},{name},{kind},{sku},{time},u{rng.randint(0, 9)}")
    searches.append(searches[-1])
    skus = ["product_sku_hash,description_vector,category_hash,image_vector,price_bucket"]
    for number in range(30):
        known = number % 4
        rest = f"{VECTOR},c{known}/d{number % 3},{VECTOR},{known}.0" if known else ",,,"
        skus.append(f"e{number:02},{rest}")
    for name, lines in {
        "search_train": searches, "browsing_train": events, "sku_to_content": skus
    }.items():  # fmt: skip
        (top / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    with next(folder.rglob(f"{name}.csv")).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row | {"time": int(row.get("server_timestamp_epoch_ms", 0))} for row in rows]


def read(folder: Path) -> Iterator[Row]:
    rows = list(impressions(folder))
    starts = sorted(row["start"] for row in rows)
    cuts = [starts[ceil((len(starts) - 1) * share)] for share in (0.8, 0.8 + 0.1)]
    for row in rows:
        start = row.pop("start")
        yield row | {"split": ("train", "valid", "test")[sum(start >= cut for cut in cuts)]}


def impressions(folder: Path) -> Iterator[Row]:
    products = {row["product_sku_hash"]: row for row in table(folder, "sku_to_content")}
    searches, events = table(folder, "search_train"), table(folder, "browsing_train")
    for group, search in enumerate(searches):
        if search in searches[:group] or not search["product_skus_hash"]:
            continue
        session = search["session_id_hash"]
        did = [event for event in events if event["session_id_hash"] == session]
        asked = [other for other in searches if other["session_id_hash"] == session]
        shown = list(dict.fromkeys(ast.literal_eval(search["product_skus_hash"])))
        first = min(other["time"] for other in [*did, *asked])
        moment = datetime.fromtimestamp(search["time"] / 1000, UTC)
        earlier = sorted(
            (event for event in did if event["time"] < search["time"]), key=lambda e: e["time"]
        )
        seen = [e["product_sku_hash"] for e in earlier if e["product_action"] == "detail"]
        for place, sku in enumerate(shown, 1):
            content = products.get(sku, {})
            price = content.get("price_bucket")
            yield {
                "group": group,
                "item_id": sku,
                "category": content.get("category_hash") or None,
                "price_bucket": float(price) if price else None,
                "place": place,
                "hour": moment.hour,
                "weekday": moment.isoweekday(),
                "log_list_size": log1p(len(shown)),
                "log_seconds_in_session": log1p((search["time"] - first) / 1000),
                **{
                    f"log_{kind}s": log1p(sum(e["product_action"] == kind for e in earlier))
                    for kind in ("detail", "add", "purchase")
                },
                "log_same_item_details": log1p(seen.count(sku)),
                "recent_items": seen[-10:],
                "start": first,
                **outcome(sku, search, asked, did),
            }


def clicked(search: Row) -> list[str]:
    shown = ast.literal_eval(search["product_skus_hash"] or "[]")
    return [sku for sku in ast.literal_eval(search["clicked_skus_hash"] or "[]") if sku in shown]


def outcome(sku: str, search: Row, asked: list[Row], did: list[Row]) -> Row:
    """Return the labels: what the session did to a product until it clicked on it again."""
    if sku not in clicked(search):
        return {"click": 0, "macro": None, "conversion": None}
    later = [other["time"] for other in asked if sku in clicked(other)]
    end = min((time for time in later if time > search["time"]), default=float("inf"))
    after = [
        event["product_action"]
        for event in sorted(did, key=lambda event: event["time"])
        if event["product_sku_hash"] == sku and search["time"] <= event["time"] < end
    ]
    cart = [action for action in after if action in {"add", "remove"}]
    return {"click": 1, "macro": int(cart[-1:] == ["add"]), "conversion": int("purchase" in after)}
