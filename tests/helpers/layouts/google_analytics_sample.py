"""Google Analytics sample: a session per line, with its hits and their products, one file a day.

The export writes whole numbers as strings and leaves out what is null; copies that other tools
made have numbers and nulls.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from math import ceil, log1p
from pathlib import Path
from typing import Any

from helpers.raw_logs import Row

START = 1_470_000_000
NAMES = tuple(f"Mug {number}" for number in range(4))


def write(folder: Path, sessions: int = 120) -> None:
    rng = random.Random(15)
    folder.mkdir(parents=True, exist_ok=True)
    days = [[_session(rng, n) for n in range(k, sessions, 2)] for k in range(2)]
    days[0].append(days[0][-1])
    exported = "".join(json.dumps(_as_exported(session)) + "\n" for session in days[0])
    with gzip.open(folder / "ga_sessions_20160801.json.gz", "wt", encoding="utf-8") as file:
        file.write(exported)
    text = "".join(json.dumps(session) + "\n" for session in days[1])
    (folder / "ga_sessions_20160802.json").write_text(text, encoding="utf-8")


def _session(rng: random.Random, number: int) -> dict[str, Any]:
    hits: list[dict[str, Any]] = []
    for _ in range(rng.randint(1, 9)):
        action = rng.choice("0011123345566")
        names = rng.sample(NAMES, rng.randint(1, 3))
        kinds = {"0": "0" * len(names), "1": rng.choice(["1", "01"])}.get(action, action)
        product: list[dict[str, Any]] = []
        for kind, name in zip(kinds, names if action == "0" else names[:1] * 2, strict=False):
            product.append(
                {
                    "v2ProductName": name,
                    "v2ProductCategory": rng.choice(
                        ["Home/Office/", "(not set)", "${escCatTitle}"]
                    ),
                    "productPrice": rng.choice([0, 990_000, 16_990_000]),
                    "isImpression": True if kind == "0" else None,
                    "isClick": True if kind == "1" else None,
                    "productListName": rng.choice(["Category", "Search Results"]),
                    "productListPosition": len(product) + 1 if kind == "0" else 0,
                    "productSKU": "GGOEGOAC021799",
                }
            )
        hit = {"hitNumber": len(hits) + 1, "time": 7 * len(hits), "type": "PAGE"}
        hits.append(
            hit | {"eCommerceAction": {"action_type": action, "step": 1}, "product": product}
        )
    return {
        "fullVisitorId": f"89595426{number % 90:03}",
        "visitId": START + 40_001 * number,
        "visitNumber": rng.choice([1, 2, 30]),
        "visitStartTime": START + 40_001 * number,
        "date": f"201608{1 + number % 2:02}",
        "channelGrouping": rng.choice(["Organic Search", "Direct"]),
        "device": {
            "deviceCategory": rng.choice(["desktop", "mobile"]),
            "operatingSystem": rng.choice(["Linux", "(not set)"]),
        },
        "geoNetwork": {"country": rng.choice(["Germany", "not available in demo dataset"])},
        "totals": {"hits": len(hits), "visits": 1},
        "hits": hits,
    }


def _as_exported(value: Any) -> Any:
    """Return JSON as the export writes it."""
    if isinstance(value, dict):
        return {key: _as_exported(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_as_exported(item) for item in value]
    return str(value) if type(value) is int else value


def sessions_in(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the sessions by what tells them apart."""
    found = {}
    for path in sorted(folder.rglob("ga_sessions*")):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as file:
            for session in map(json.loads, file):
                key = "/".join(str(session[k]) for k in ("date", "fullVisitorId", "visitId"))
                found[key] = session
    return found


def read(folder: Path, end: str = "6") -> Iterator[Row]:
    rows = [row for row in cells(folder, end) if row["shown"]]
    rows = [row for row in rows if row["click"] or not row["ended"]]
    starts = sorted(row["start"] for row in rows)
    cuts = [starts[ceil((len(starts) - 1) * share)] for share in (0.8, 0.8 + 0.1)]
    for row in rows:
        split = ("train", "valid", "test")[sum(row["start"] >= cut for cut in cuts)]
        kept = {k: v for k, v in row.items() if k not in {"start", "shown", "ended", "kinds"}}
        yield kept | {"split": split}


def cells(folder: Path, end: str = "6") -> Iterator[Row]:
    """Yield each product of each session."""
    for key, session in sessions_in(folder).items():
        did = defaultdict(list)
        for hit in session["hits"]:
            for product in hit.get("product") or []:
                what = hit["eCommerceAction"]["action_type"]
                kind = "shown" if product.get("isImpression") else what
                kind = "click" if product.get("isClick") else kind
                did[product["v2ProductName"]].append((int(hit["hitNumber"]), kind, product))
        start = int(session["visitStartTime"])
        moment = datetime.fromtimestamp(start, UTC)
        for name, events in did.items():
            kinds = {kind for _, kind, _ in events}
            shown = next((event for event in events if event[1] == "shown"), None)
            row = {
                "start": start,
                "shown": shown is not None,
                "kinds": kinds,
                "ended": end in kinds,
            }
            if shown is None:
                yield row
                continue
            at = next((n for n, kind, _ in events if kind == "click" and n >= shown[0]), None)
            after = [kind for n, kind, _ in events if at is not None and n >= at]
            labels = {
                "micro": int("2" in after),
                "macro": int(after.count("3") > after.count("4")),
                "conversion": int(end in after),
            }
            price = int(shown[2]["productPrice"]) / 1e6
            yield row | {
                "group": key,
                "item_id": name,
                "category": known(shown[2]["v2ProductCategory"]),
                "list": shown[2]["productListName"],
                "place": int(shown[2]["productListPosition"]),
                "device": known(session["device"]["deviceCategory"]),
                "system": known(session["device"]["operatingSystem"]),
                "country": known(session["geoNetwork"]["country"]),
                "channel": session["channelGrouping"],
                "hour": moment.hour,
                "weekday": moment.isoweekday(),
                "log_price": log1p(price) if price else None,
                "log_visits": log1p(int(session["visitNumber"])),
                "log_hits_before": log1p(shown[0] - 1),
                "click": int(at is not None),
                **(labels if at is not None else dict.fromkeys(labels)),
            }


def known(text: str) -> str | None:
    unset = text in {"(not set)", "not available in demo dataset"} or text.startswith("${")
    return None if unset else text
