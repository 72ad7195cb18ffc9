"""Criteo's conversion log: tab-separated clicks without header, empty where nothing is known."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import ceil, copysign, log1p
from pathlib import Path

from helpers.raw_logs import Row

DAY = 86_400
FILE = "data.txt"


def write(folder: Path, clicks: int = 400) -> None:
    """Write clicks of 60 days, whose conversions were waited for during 30 more."""
    rng = random.Random(9)
    (folder / "criteo_conversion_logs").mkdir(parents=True)
    lines = []
    for time in sorted(rng.randrange(60 * DAY) for _ in range(clicks)):
        delay = rng.choice([0, 59, 2 * DAY, 29 * DAY, 30 * DAY, 30 * DAY + 1])
        counts = [rng.choice(["", "-1", "0", "7", "12345"]) for _ in range(8)]
        hashes = [rng.choice(["", f"{i:02x}ab{rng.randint(0, 3)}"]) for i in range(9)]
        sale = str(time + delay) if rng.random() < 0.3 else ""
        lines.append("\t".join([str(time), sale, *counts, *hashes]))
    text = "\n".join(lines) + "\n"
    (folder / "criteo_conversion_logs" / FILE).write_text(text, encoding="utf-8")


def read(folder: Path, days: float | None = 30) -> Iterator[Row]:
    text = next(folder.rglob(FILE)).read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()]
    end = max(int(time) for row in rows for time in row[:2] if time)
    kept = [row for row in rows if days is None or int(row[0]) + days * DAY <= end]
    times = sorted(int(row[0]) for row in kept)
    valid, test = (times[ceil((len(times) - 1) * share)] for share in (0.8, 0.9))
    for row in kept:
        time, delay = int(row[0]), int(row[1]) - int(row[0]) if row[1] else None
        converts = delay is not None and (days is None or delay <= days * DAY)
        timed = {"click_time": time, "conversion_delay": delay if converts else None}
        yield (timed if days is not None else {}) | {
            "split": "test" if time >= test else "valid" if time >= valid else "train",
            "hour": time % DAY // 3600,
            **{f"log_integer_{i}": logarithm(row[1 + i]) for i in range(1, 9)},
            **{f"category_{i}": row[9 + i] or None for i in range(1, 10)},
            "conversion": int(converts),
        }


def logarithm(text: str) -> float | None:
    return copysign(log1p(abs(int(text))), int(text)) if text else None
