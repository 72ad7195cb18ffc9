"""CASCADE: tab-separated clicks without header, with lists of payments and refunds as text."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

from helpers.raw_logs import Row

START, DAY = 1_746_028_800, 86_400


def line(rng: random.Random, number: int) -> str:
    click = START + rng.randrange(24 * DAY)
    paid = click + rng.choice([-9, 0, 60, DAY, 3 * DAY, 3 * DAY + 1])
    back = paid + rng.choice([-1, 0, DAY, 7 * DAY, 7 * DAY + 1])
    pays = rng.choice(["", "[]", "[-1]", f"[{paid}]", f"[{paid}, {paid + 5}]"])
    refunds = rng.choice(["", "[]", f"[{back}]"]) if str(paid) in pays else "[]"
    features = [rng.choice([f"[{i}, 9]", str(number % (2 + i)), ""]) for i in range(22)]
    return "\t".join([str(click), pays, refunds, *features])


def write(folder: Path, rows: int = 300) -> None:
    rng = random.Random(5)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("part-0", "part-1"):
        lines = [line(rng, number) for number in range(rows // 2)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def first(text: str) -> int | None:
    """Return the first of a list of times, None where it stands for nothing."""
    values = ast.literal_eval(text or "[]")
    return values[0] if values and values[0] > 0 else None


def read(folder: Path, days: float = 3, refund_days: float | None = None) -> Iterator[Row]:
    files = sorted(folder.glob("*.txt"))
    lines = [line for path in files for line in path.read_text("utf-8").splitlines()]
    rows = []
    for text in lines:
        click, pays, refunds, *features = text.split("\t")
        rows.append((int(click), first(pays), first(refunds), features))
    end = max(time for row in rows for time in row[:3] if time is not None)
    wait = (days + (refund_days or 0)) * DAY
    kept = [row for row in rows if row[0] + wait <= end]
    times = sorted(row[0] for row in kept)
    cuts = [times[ceil((len(times) - 1) * share)] for share in (0.8, 0.8 + 0.1)]
    for click, paid, back, features in kept:
        converts = paid is not None and 0 <= paid - click <= days * DAY
        if converts and refund_days is not None and back is not None:
            converts = not 0 <= back - paid <= refund_days * DAY
        delay = paid - click if converts else None
        yield {
            **{
                f"feature_{i}": value.strip("[]").split(",")[0] or None
                for i, value in enumerate(features)
            },
            "hour": datetime.fromtimestamp(click, UTC).hour,
            "split": ("train", "valid", "test")[sum(click >= cut for cut in cuts)],
            "conversion": int(converts),
            **({"click_time": click, "conversion_delay": delay} if refund_days is None else {}),
        }
