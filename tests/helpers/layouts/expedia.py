"""Expedia: one CSV of impressions, NULL where something is missing, ordered by search."""

import csv
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import ceil, log1p
from pathlib import Path
from statistics import median

from helpers.raw_logs import Row

RIVALS = [f"comp{i}_{what}" for i in range(1, 9) for what in ("rate", "inv", "rate_percent_diff")]
HEADER = (
    "srch_id,date_time,site_id,visitor_location_country_id,visitor_hist_starrating,"
    "visitor_hist_adr_usd,prop_country_id,prop_id,prop_starrating,prop_review_score,"
    "prop_brand_bool,prop_location_score1,prop_location_score2,prop_log_historical_price,position,"
    "price_usd,promotion_flag,srch_destination_id,srch_length_of_stay,srch_booking_window,"
    "srch_adults_count,srch_children_count,srch_room_count,srch_saturday_night_bool,"
    f"srch_query_affinity_score,orig_destination_distance,random_bool,{','.join(RIVALS)},"
    "click_bool,gross_bookings_usd,booking_bool"
)
WHOLE = {
    "site_id", "visitor_location_country_id", "prop_country_id", "prop_id", "prop_starrating",
    "prop_brand_bool", "position", "promotion_flag", "srch_destination_id", "srch_adults_count",
    "srch_children_count", "srch_room_count", "srch_saturday_night_bool",
}  # fmt: skip
LEFT_OUT = {
    "srch_id", "date_time", "random_bool", "price_usd", "orig_destination_distance",
    "click_bool", "gross_bookings_usd", "booking_bool",
}  # fmt: skip


def write(folder: Path, searches: int = 60) -> None:
    rng = random.Random(5)
    folder.mkdir(parents=True)
    with (folder / "train.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(HEADER.split(","))
        for search in rng.sample(range(searches), searches):
            table.writerows(one_search(rng, 7 * search))


def one_search(rng: random.Random, search: int) -> list[list[object]]:
    def maybe(value: object) -> object:
        return rng.choice(["NULL", value])

    when = datetime(2012, 11, 1) + timedelta(hours=search, seconds=search)
    guest = [search, when, rng.choice([5, 12]), 219, maybe(3.5), maybe(176.04)]
    stay = [8192, rng.randint(1, 9), rng.randint(0, 99), 2, 0, 1, rng.randint(0, 1)]
    stay += [maybe(-12.5), maybe(round(rng.uniform(1, 900), 2)), rng.randint(0, 2) // 2]
    rows = []
    for place, hotel in enumerate(rng.sample(range(20), rng.randint(3, 6)), 1):
        price = round(rng.lognormvariate(4, 1), 2)
        facts = [219, hotel, rng.randint(0, 5), maybe(4.5), 1, 2.83, maybe(0.0149)]
        facts += [rng.choice([0, 4.95]), place, price, rng.randint(0, 1)]
        rivals = [maybe(rng.choice([-1, 0, 1])) for _ in RIVALS]
        click, booking = rng.choice([(0, 0), (0, 0), (1, 0), (1, 1)])
        rows.append([*guest, *facts, *stay, *rivals, click, price if booking else "NULL", booking])
    return rows


def read(folder: Path) -> Iterator[Row]:
    with (folder / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    prices: dict[str, list[float]] = {}
    for row in rows:
        prices.setdefault(row["srch_id"], []).append(float(row["price_usd"]))
    logged = {row["srch_id"]: row["date_time"] for row in rows if row["random_bool"] == "0"}
    times = sorted(logged.values())
    valid, test = (times[ceil((len(times) - 1) * share)] for share in (0.8, 0.9))
    for row in rows:
        when, price = logged.get(row["srch_id"]), float(row["price_usd"])
        features = {name: value(name, row[name]) for name in row if name not in LEFT_OUT}
        distance = value("distance", row["orig_destination_distance"])
        yield {name: one for name, one in features.items() if "percent" not in name} | {
            "split": "test" if when is None or when >= test else "valid" if when >= valid
            else "train",
            "policy": "random" if when is None else "log",
            "group": int(row["srch_id"]),
            "log_price": log1p(price),
            "log_distance": None if distance is None else log1p(distance),
            "list_size": float(len(prices[row["srch_id"]])),
            "log_price_to_list": log1p(price) - log1p(median(prices[row["srch_id"]])),
            "click": int(row["click_bool"]),
            "conversion": int(row["booking_bool"]) if row["click_bool"] == "1" else None,
        }  # fmt: skip


def value(name: str, text: str) -> float | None:
    if text == "NULL" or (name == "prop_log_historical_price" and float(text) == 0):
        return None
    return int(text) if name in WHOLE or name.startswith("comp") else float(text)
