"""YooChoose: clicks with categories, and purchases with prices, without headers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from helpers.event_logs import Event, acts, clicks
from helpers.raw_logs import Row

START = 1_396_868_000_123


def write(folder: Path) -> None:
    top = folder / "yoochoose-data"
    top.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = {"click": [], "buy": []}
    for act in acts(4, ("click", "buy"), days=20, start=START, unit=1):
        moment = datetime.fromtimestamp(act.time // 1000, UTC)
        text = f"{moment:%Y-%m-%dT%H:%M:%S}.{act.time % 1000:03}Z"
        rest = ("0", "S", "7", "1438")[act.item % 4] if act.kind == "click" else "0,0"
        lines[act.kind].append(f"{act.who},{text},{act.item},{rest}\n")
    (top / "yoochoose-clicks.dat").write_text("".join(lines["click"]), encoding="utf-8")
    (top / "yoochoose-buys.dat").write_text("".join(lines["buy"]), encoding="utf-8")
    (top / "yoochoose-test.dat").write_text("not read\n", encoding="utf-8")


def events(folder: Path) -> Iterator[Event]:
    for kind in ("clicks", "buys"):
        path = folder / "yoochoose-data" / f"yoochoose-{kind}.dat"
        for line in path.read_text(encoding="utf-8").splitlines():
            who, moment, item, *rest = line.split(",")
            yield {
                "who": int(who),
                "item": int(item),
                "time": round(datetime.fromisoformat(moment).timestamp() * 1000),
                "click": kind == "clicks",
                "conversion": int(kind == "buys"),
                "category": rest[0] if kind == "clicks" and rest[0] != "0" else None,
            }


def read(folder: Path) -> Iterator[Row]:
    return clicks(list(events(folder)), ("conversion",), context=("category",), window_days=1)
