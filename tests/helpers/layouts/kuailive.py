"""KuaiLive: impressions with and without a click, reactions, and who and what was live, as CSV."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from math import ceil, log1p
from pathlib import Path
from typing import Any

from helpers.raw_logs import Row

START = 1_746_374_400_000
DAY = 86_400_000
EVENT = "user_id,live_id,streamer_id,timestamp"
HEADERS = {
    "click": f"{EVENT},watch_live_time",
    "negative": EVENT,
    "comment": EVENT,
    "like": EVENT,
    "gift": f"{EVENT},gift_price",
    "user": "user_id,age,gender,country,device_brand,device_price,reg_timestamp,fans_num,"
    "follow_num,first_watch_live_timestamp,accu_watch_live_cnt,accu_watch_live_duration,is_live_streamer,"
    "is_photo_author",
    "streamer": "streamer_id,gender,age,country,device_brand,device_price,live_operation_tag,"
    "fans_user_num",
    "room": "p_date,live_id,streamer_id,live_type,start_timestamp,end_timestamp,"
    "live_content_category,live_name_id",
}
PERSON = ("gender", "age", "country", "device_brand", "device_price")


def write(folder: Path, users: int = 12, rooms: int = 15) -> None:
    rng = random.Random(11)
    lines = what_is_known(users, rooms)
    for _ in range(300):
        for kind, line in one_impression(rng, rng.randrange(users), rng.randrange(rooms)):
            lines[kind].append(line)
    lines["gift"].append(f"{users},{rooms},1,{START},520")
    data = folder / "KuaiLive"
    data.mkdir(parents=True, exist_ok=True)
    for kind, rows in lines.items():
        rng.shuffle(rows)
        (data / f"{kind}.csv").write_text("\n".join([HEADERS[kind], *rows]) + "\n", "utf-8")


def one_impression(rng: random.Random, user: int, room: int) -> Iterator[tuple[str, str]]:
    """Yield the lines of an impression: a few are there twice, or entered again soon after."""
    cell = f"{user},{room},{room % 6}"
    time = START + rng.randrange(20 * DAY) // 1000 * 1000
    if rng.random() < 0.5:
        yield "negative", f"{cell},{time}"
        if rng.random() < 0.8:
            return
    yield "click", f"{cell},{time},{rng.randrange(1, 9_999_999)}"
    if rng.random() < 0.3:
        yield "click", f"{cell},{time + rng.choice([0, 900, DAY // 2])},7"
    for kind in ("comment", "like", "gift"):
        for _ in range(rng.choice([0, 0, 1, 2])):
            later = time + rng.choice([-1, 0, 1, 60_000, DAY - 1, DAY, DAY + 1, 3 * DAY])
            if later <= START + 20 * DAY:
                yield kind, f"{cell},{later}" + (",2" if kind == "gift" else "")


def what_is_known(users: int, rooms: int) -> dict[str, list[str]]:
    """Return the lines about users, streamers and rooms, which last past midnight."""
    lines: dict[str, list[str]] = {kind: [] for kind in HEADERS}
    lines["user"] = [
        f"{user},18-23,{'MF'[user % 2]},China,APPLE,{user % 3}000+,2023-05-03,0-10,10-100,"
        "2023-05-03,0-50000,0-1000000000,0,0"
        for user in range(users - 1)
    ]
    lines["streamer"] = [
        f"{streamer},F,24-30,China,,5000+,Tag{streamer % 2},10000-100000" for streamer in range(5)
    ]
    lines["room"] = [
        f"{20250505 + room + day},{room},{room % 6},{room % 4},"
        f"{START + room * DAY + day * 420_000},{START + (room + 1) * DAY},"
        f"{('shop', 'game', '')[room % 3]},0"
        for room in range(rooms - 1)
        for day in (0, 1)
    ]
    return lines


def table(folder: Path, kind: str) -> list[dict[str, Any]]:
    with next(folder.rglob(f"{kind}.csv")).open(newline="", encoding="utf-8") as file:
        return [
            row | {"time": int(row.get("timestamp", 0)), "kind": kind}
            for row in csv.DictReader(file)
        ]


def read(folder: Path, days: float = 1, length: int = 20) -> Iterator[Row]:
    rows = [row for row in impressions(folder, days, length) if "lost" not in row]
    times = sorted(row["time"] for row in rows)
    cuts = [times[ceil((len(times) - 1) * share)] for share in (0.8, 0.8 + 0.1)]
    for row in rows:
        time = row.pop("time")
        yield row | {"split": ("train", "valid", "test")[sum(time >= cut for cut in cuts)]}


def impressions(folder: Path, days: float = 1, length: int = 20) -> Iterator[Row]:
    """Yield the impressions, and one row that names what is lost per event that is none."""
    clicks, did = table(folder, "click"), [
        row for kind in ("comment", "like", "gift") for row in table(folder, kind)
    ]  # fmt: skip
    people = {row["user_id"]: row for row in table(folder, "user")}
    streamers = {row["streamer_id"]: row for row in table(folder, "streamer")}
    rooms: dict[str, dict[str, Any]] = {}
    for row in sorted(table(folder, "room"), key=lambda row: int(row["p_date"])):
        rooms.setdefault(row["live_id"], row)
    everything = [*clicks, *table(folder, "negative"), *did]
    end, window = max(row["time"] for row in everything), days * DAY
    seen, used = set(), []
    for row in [*clicks, *table(folder, "negative")]:
        key = (row["user_id"], row["live_id"], row["time"])
        if key in seen:
            yield {"lost": "twice"}
            continue
        seen.add(key)
        again = [
            other["time"]
            for other in clicks
            if (other["user_id"], other["live_id"]) == key[:2] and other["time"] > row["time"]
        ]
        until = min([*(time - 1 for time in again), row["time"] + window])
        after = [
            other
            for other in did
            if (other["user_id"], other["live_id"]) == key[:2]
            and row["time"] <= other["time"] <= until
        ]
        clicked = row["kind"] == "click"
        if clicked:
            used += after
        if row["time"] + window > end:
            yield {"lost": "cut off"}
            continue
        gifts = [other["time"] - row["time"] for other in after if other["kind"] == "gift"]
        moment = datetime.fromtimestamp(row["time"] / 1000, UTC)
        user, room = people.get(row["user_id"], {}), rooms.get(row["live_id"], {})
        streamer = streamers.get(row["streamer_id"], {})
        live = row["time"] - int(room["start_timestamp"]) if room else -1
        before = sorted(
            (other["time"], other["streamer_id"])
            for other in clicks
            if other["user_id"] == row["user_id"] and other["time"] < row["time"]
        )
        yield {
            "time": row["time"],
            "group": row["user_id"],
            "user_id": row["user_id"],
            "streamer_id": row["streamer_id"],
            **{name: user.get(name) or None for name in PERSON},
            **{
                f"streamer_{name}": streamer.get(name) or None
                for name in (*PERSON, "live_operation_tag")
            },
            **{name: room.get(name) or None for name in ("live_type", "live_content_category")},
            "hour": moment.hour,
            "weekday": moment.isoweekday(),
            "log_minutes_live": log1p(live / 60_000) if live >= 0 else None,
            "click": int(clicked),
            "micro": int(len(gifts) < len(after)) if clicked else None,
            "conversion": int(bool(gifts)) if clicked else None,
            "click_time": row["time"] / 1000 if clicked else None,
            "conversion_delay": min(gifts) / 1000 if clicked and gifts else None,
            **(
                {"entered_streamers": [streamer for _, streamer in before[-length:]]}
                if length
                else {}
            ),
        }
    for row in did:
        if not any(row is other for other in used):
            yield {"lost": row["kind"]}
