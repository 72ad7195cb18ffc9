"""OTTO: one session per line, with its articles, times and types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers.event_logs import Event, acts, clicks
from helpers.raw_logs import Row

START = 1_659_304_800_025
KINDS = ("clicks", "carts", "orders")


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sessions: dict[int, list[dict[str, Any]]] = {}
    for act in sorted(acts(5, KINDS, days=50, start=START, unit=1), key=lambda act: act.time):
        event = {"aid": act.item, "ts": act.time, "type": act.kind}
        sessions.setdefault(act.who, []).append(event)
    lines = [json.dumps({"session": who, "events": log}) + "\n" for who, log in sessions.items()]
    (folder / "otto-recsys-train.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "otto-recsys-test.jsonl").write_text("not read\n", encoding="utf-8")


def events(path: Path) -> Iterator[Event]:
    for line in path.read_text(encoding="utf-8").splitlines():
        session = json.loads(line)
        for event in session["events"]:
            yield {
                "who": session["session"],
                "item": event["aid"],
                "time": event["ts"],
                "click": event["type"] == "clicks",
                "macro": int(event["type"] == "carts"),
                "conversion": int(event["type"] == "orders"),
            }


def read(folder: Path, window_days: float = 7) -> Iterator[Row]:
    log = list(events(next(folder.glob("*train.jsonl"))))
    return clicks(log, ("macro", "conversion"), window_days=window_days)
