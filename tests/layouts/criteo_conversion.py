"""Criteo conversion logs: two times, eight integers, nine hashed values; nothing where unknown."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import ceil, copysign, log1p
from pathlib import Path

from raw_logs import Row

DAY = 86_400


def write(folder: Path, clicks: int = 400) -> None:
    rng = random.Random(14)
    folder.mkdir(parents=True)
    lines = ["0" + "\t" * 18]
    for click in sorted(rng.randrange(62 * DAY) for _ in range(clicks)):
        delay = rng.choice([0, 59, 2 * DAY, 30 * DAY, 30 * DAY + 1])
        bought = str(click + delay) if rng.random() < 0.3 else ""
        counts = [rng.choice(["", "-1", "0", str(rng.randrange(900))]) for _ in range(8)]
        codes = [rng.choice(["", f"{place:x}{rng.randrange(16):07x}"]) for place in range(9)]
        lines.append("\t".join([str(click), bought, *counts, *codes]))
    (folder / "data.txt").write_text("\n".join(lines) + "\n", "utf-8")


def read(folder: Path) -> Iterator[Row]:
    text = (folder / "data.txt").read_text("utf-8")
    rows = [line.split("\t") for line in text.splitlines()]
    end = max(int(time) for row in rows for time in row[:2] if time)
    rows = [row for row in rows if int(row[0]) + 30 * DAY <= end]
    times = sorted(int(row[0]) for row in rows)
    valid, test = (times[ceil((len(times) - 1) * share)] for share in (0.8, 0.9))
    for row in rows:
        time = int(row[0])
        delay = int(row[1]) - time if row[1] else None
        converts = delay is not None and delay <= 30 * DAY
        counts = [int(cell) if cell else None for cell in row[2:10]]
        yield {
            "split": "test" if time >= test else "valid" if time >= valid else "train",
            **{f"log_count_{i}": logarithm(count) for i, count in enumerate(counts, 1)},
            **{f"code_{i}": cell or None for i, cell in enumerate(row[10:], 1)},
            "conversion": int(converts),
            "click_time": time,
            "conversion_delay": delay if converts else None,
        }


def logarithm(count: int | None) -> float | None:
    return None if count is None else copysign(log1p(abs(count)), count)
