"""Trivago: one CSV of actions, with lists between bars at click-outs; properties of hotels."""

import csv
import random
from collections.abc import Iterator
from math import log, log1p
from pathlib import Path
from statistics import median

from helpers.raw_logs import Row

HEADER = (
    "user_id,session_id,timestamp,step,action_type,reference,platform,city,device,"
    "current_filters,impressions,prices"
)
PARTS = ("image", "info", "rating", "deals")
START = 1541030400  # 2018-11-01


def write(folder: Path, sessions: int = 60) -> None:
    rng = random.Random(7)
    folder.mkdir(parents=True)
    lines = [line for number in range(sessions) for line in one_session(rng, number)]
    lines += lines[:2]  # repeated steps
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerows([HEADER.split(","), *rng.sample(lines, len(lines))])
    hotels = [f"{hotel},WiFi|{hotel % 5 + 1} Star|3 Star Superior" for hotel in range(28)]
    text = "\n".join(["item_id,properties", *hotels, "28,WiFi"]) + "\n"
    (folder / "item_metadata.csv").write_text(text, encoding="utf-8")


def one_session(rng: random.Random, number: int) -> Iterator[list[object]]:
    shown = rng.sample(range(30), rng.randint(4, 8))
    when = START + number * 7200
    for step in range(1, rng.randint(4, 25)):
        when += rng.randint(0, 600)
        place = ["AU", "São Paulo, Brazil", rng.choice(["mobile", "desktop"])]
        filters = rng.choice(["", "WiFi", "WiFi|4 Star"])
        base: list[object] = [f"U{number // 2}", f"s{number}", when, step]
        kind = rng.choice(["out", "item", "item", "item", "item", "new"])
        if kind == "new":
            shown = rng.sample(range(30), rng.randint(4, 8))
            what = rng.choice(["filter selection", "search for item", "change of sort order"])
            yield [*base, what, rng.choice(["WiFi", 7]), *place, filters, "", ""]
        elif kind == "item":
            chosen = rng.choice([*shown, 31])
            what = f"interaction item {rng.choice(PARTS)}"
            yield [*base, what, rng.choice([chosen, chosen, "unknown"]), *place, filters, "", ""]
        else:
            prices = [rng.randint(20, 400) for _ in shown]
            lists = ["|".join(map(str, one)) for one in (shown, prices)]
            yield [
                *base,
                "clickout item",
                rng.choice([*shown, *shown, 31]),
                *place,
                filters,
                *lists,
            ]


def read(folder: Path) -> Iterator[Row]:
    with (folder / "train.csv").open(newline="", encoding="utf-8") as file:
        sessions: dict[str, dict[int, dict[str, str]]] = {}
        for action in csv.DictReader(file):
            sessions.setdefault(action["session_id"], {}).setdefault(int(action["step"]), action)
    with (folder / "item_metadata.csv").open(newline="", encoding="utf-8") as file:
        hotels = {int(row["item_id"]): row["properties"].split("|") for row in csv.DictReader(file)}
    days = {
        name: min(int(action["timestamp"]) for action in steps.values()) // 86400
        for name, steps in sessions.items()
    }
    last = max(
        days[name]
        for name, steps in sessions.items()
        if any(action["action_type"] == "clickout item" for action in steps.values())
    )
    group = 0
    for name, steps in sorted(
        sessions.items(), key=lambda pair: (pair[1][min(pair[1])]["user_id"], pair[0])
    ):
        split = {0: "test", 1: "valid"}.get(last - days[name], "train")
        before: list[int] = []
        dealt: list[int] = []
        opened, returned = 0, True
        for step, action in sorted(steps.items()):
            kind = action["action_type"]
            out = kind == "clickout item"
            if returned or not (out or kind.startswith("interaction")):
                group, opened, before, dealt = group + 1, step, [*before, *dealt], []
            returned = out
            if out:
                base = {"split": split, "group": group, "log_steps_before": log1p(opened - 1)}
                yield from listed(action, hotels, before, dealt, base)
            if kind.startswith(("click", "inter")) and action["reference"].isdigit():
                dealt.append(int(action["reference"]))


def listed(
    action: dict[str, str],
    hotels: dict[int, list[str]],
    before: list[int],
    dealt: list[int],
    base: Row,
) -> Iterator[Row]:
    shown = [int(item) for item in action["impressions"].split("|")]
    prices = [int(price) for price in action["prices"].split("|")]
    filters = action["current_filters"]
    if int(action["reference"]) not in shown:
        return
    for place, (item, price) in enumerate(zip(shown, prices, strict=True), 1):
        out, known = item == int(action["reference"]), hotels.get(item)
        stars = [one[0] for one in known or [] if one[1:] == " Star"]
        yield base | {
            "item_id": item,
            "item_stars": stars[0] if stars else None,
            "platform": action["platform"],
            "city": action["city"],
            "device": action["device"],
            "place": place,
            "dealt_before": int(item in before[-10:]),
            "log_price": log1p(price),
            "log_price_to_list": log1p(price) - log1p(median(prices)),
            "log_list_size": log(len(shown)),
            "log_item_properties": log(len(known)) if known else None,
            "filters": float(len(filters.split("|")) if filters else 0),
            "recent_items": before[-10:],
            "click": int(out or item in dealt),
            "conversion": int(out) if out or item in dealt else None,
        }
