"""Diginetica: six tables with semicolons, NA where something is missing."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from math import log
from pathlib import Path

from helpers.raw_logs import Row

HEADERS = {
    "train-queries": "queryId;sessionId;userId;timeframe;duration;eventdate;"
    "searchstring.tokens;categoryId;items;is.test",
    "train-clicks": "queryId;timeframe;itemId",
    "train-item-views": "sessionId;userId;itemId;timeframe;eventdate",
    "train-purchases": "sessionId;userId;timeframe;eventdate;ordernumber;itemId",
    "products": "itemId;pricelog2;product.name.tokens",
    "product-categories": "itemId;categoryId",
}


def write(folder: Path, sessions: int = 80) -> None:
    rng = random.Random(6)
    tables: dict[str, list[list[object]]] = {name: [] for name in HEADERS}
    for session in range(sessions):
        day = date(2016, 1, 1) + timedelta(days=session * 40 // sessions)
        user, hidden = rng.choice(["NA", session]), rng.random() < 0.1
        for number in range(rng.randint(1, 3)):
            query, when = 10 * session + number, 5000 * number
            shown = rng.choices(range(30), k=rng.choice([3, 8, 60]))
            kind = [f"{rng.randint(1, 99)},7", 0] if rng.random() < 0.3 else ["NA", 400]
            items = ",".join(map(str, shown))
            last = "TRUE" if hidden and number == 0 else "FALSE"
            later = day + timedelta(days=number // 2)  # past midnight
            row = [query, session, user, when, 100, later, *kind, items, last]
            tables["train-queries"].append(row)
            for item in rng.choices([*shown, 31], k=rng.randint(0, 6)):
                clicked = when + rng.randint(0, 5) * 1000
                tables["train-clicks"].append([query, clicked, item])
                tables["train-item-views"].append([session, user, item, clicked, day])
                if rng.random() < 0.3:
                    bought = clicked + rng.randint(-2, 8) * 1000
                    tables["train-purchases"].append([session, user, bought, day, 1, item])
    tables["products"] = [[item, rng.choice(["NA", item / 8]), "1,2"] for item in range(28)]
    tables["product-categories"] = [[item, 1000 + item % 4] for item in range(25)]
    folder.mkdir(parents=True)
    for name, rows in tables.items():
        rng.shuffle(rows)
        lines = [HEADERS[name], *(";".join(map(str, row)) for row in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(folder: Path, name: str) -> list[dict[str, str]]:
    header, *lines = (folder / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split(";"), line.split(";"), strict=True)) for line in lines]


def read(folder: Path) -> Iterator[Row]:
    queries, clicks, views, purchases, products, categories = (
        table(folder, name) for name in HEADERS
    )
    hidden = {query["sessionId"] for query in queries if query["is.test"] == "TRUE"}
    queries = [query for query in queries if query["sessionId"] not in hidden]
    days: dict[str, str] = {}
    for query in queries:
        session = query["sessionId"]
        days[session] = min(query["eventdate"], days.get(session, "9"))
    last = max(date.fromisoformat(query["eventdate"]) for query in queries)
    category = {row["itemId"]: int(row["categoryId"]) for row in categories}
    price = {row["itemId"]: number(row["pricelog2"]) for row in products}
    first = first_clicks(queries, clicks)
    converted = {last_click(first, buy) for buy in purchases}
    for query in queries:
        age = (last - date.fromisoformat(days[query["sessionId"]])).days
        recent = [
            view["itemId"]
            for view in sorted(views, key=lambda view: int(view["timeframe"]))
            if view["sessionId"] == query["sessionId"]
            and int(view["timeframe"]) < int(query["timeframe"])
        ][-10:]
        shown = list(dict.fromkeys(query["items"].split(",")))
        for place, item in enumerate(shown, 1):
            key = (query["queryId"], item)
            yield {
                "split": "test" if age < 7 else "valid" if age < 14 else "train",
                "group": int(query["queryId"]),
                "user_id": number(query["userId"]),
                "query_kind": "category" if query["searchstring.tokens"] == "NA" else "text",
                "query_category": number(query["categoryId"]),
                "item_id": int(item),
                "item_category": category.get(item),
                "place": min(place, 50),
                "viewed_before": int(item in recent),
                "log2_price": price.get(item),
                "log_list_size": log(len(shown)),
                "recent_items": [int(one) for one in recent],
                "recent_categories": [category.get(one) for one in recent],
                "click": int(key in first),
                "conversion": int(key in converted) if key in first else None,
            }


def number(text: str) -> float | None:
    return None if text == "NA" else float(text)


def first_clicks(
    queries: list[dict[str, str]], clicks: list[dict[str, str]]
) -> dict[tuple[str, str], tuple[str, int]]:
    """Return the session and time of the first click per query and listed item."""
    sessions = {query["queryId"]: query["sessionId"] for query in queries}
    shown = {query["queryId"]: query["items"].split(",") for query in queries}
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for click in sorted(clicks, key=lambda click: int(click["timeframe"])):
        if click["itemId"] in shown.get(click["queryId"], ()):
            key = (click["queryId"], click["itemId"])
            found.setdefault(key, (sessions[click["queryId"]], int(click["timeframe"])))
    return found


def last_click(
    first: dict[tuple[str, str], tuple[str, int]], buy: dict[str, str]
) -> tuple[str, str] | None:
    """Return the query and item of the last click that a purchase follows."""
    before = [
        (time, int(query), (query, item))
        for (query, item), (session, time) in first.items()
        if (session, item) == (buy["sessionId"], buy["itemId"]) and time <= int(buy["timeframe"])
    ]
    return max(before)[2] if before else None
