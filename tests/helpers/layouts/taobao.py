"""Taobao: user, item, category, behaviour and seconds, without a header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from helpers.event_logs import Event, acts, clicks
from helpers.raw_logs import Row

KINDS = ("pv", "buy", "cart", "fav")
FIRST, END = 1_511_539_200_000, 1_512_316_800_000


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = acts(3, KINDS, days=12, start=FIRST - 86_400_000, unit=1000)
    lines = [f"{a.who},{a.item},{a.item % 4},{a.kind},{a.time // 1000}\n" for a in log]
    (folder / "UserBehavior.csv").write_text("".join(lines), encoding="utf-8")


def events(folder: Path) -> Iterator[Event]:
    for line in (folder / "UserBehavior.csv").read_text(encoding="utf-8").splitlines():
        who, item, category, kind, seconds = line.split(",")
        yield {
            "who": int(who),
            "item": int(item),
            "time": int(seconds) * 1000,
            "click": kind == "pv",
            "macro": int(kind in {"cart", "fav"}),
            "conversion": int(kind == "buy"),
            "category": int(category),
            "kind": kind,
        }


def read(folder: Path) -> Iterator[Row]:
    return clicks(
        list(events(folder)),
        ("macro", "conversion"),
        context=("category",),
        window_days=1,
        period=(FIRST, END),
    )
