"""Sessions of JD Micro Behaviors, one per line of sku+behaviour+category+seconds+dwell_time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import log1p
from pathlib import Path

from helpers.raw_logs import Row, in_share


def write(folder: Path, sessions: int = 200) -> None:
    rng = random.Random(1)
    lines = []
    for _ in range(sessions):
        tokens = []
        for _ in range(rng.choice([1, 2, 3, 30])):
            sku = rng.randint(1, 50)
            kinds = [rng.randint(1, 5), *rng.choices(range(1, 11), k=rng.randint(0, 4))]
            rest = f"+{sku % 3}+{rng.randint(0, 99)}+{rng.randint(0, 99)}"
            tokens += [f"{sku}+{kind}{rest}" for kind in rng.sample(kinds, len(kinds))]
        lines.append(" ".join(tokens) + "\n")
    for number, part in enumerate((lines[:120], lines[100:])):
        (folder / f"part{number}").mkdir(parents=True)
        (folder / f"part{number}" / "JD_Computers").write_text("".join(part), encoding="utf-8")


def read(folder: Path) -> Iterator[Row]:
    files = sorted(path for path in folder.rglob("JD_*") if path.is_file())
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    for number, line in enumerate(dict.fromkeys(lines)):
        cell = "train" if in_share(line, 0.7) else "valid" if in_share(line, 0.8) else "test"
        yield from read_session(line, {"group": number, "split": cell})


def read_session(line: str, base: Row) -> Iterator[Row]:
    visits: dict[int, Row] = {}
    earlier: list[tuple[int, int, int, int]] = []
    for token in line.split(" "):
        sku, kind, category, seconds, _ = map(int, token.split("+"))
        if sku in visits:
            label = {6: "micro", 7: "micro", 8: "micro", 9: "macro", 10: "conversion"}.get(kind)
            visits[sku] |= {label: 1} if label else {}
        elif kind <= 5:
            seen = len({product for product, *_ in earlier})
            visits[sku] = base | {
                "sku": sku,
                "category": category,
                "arrival": kind,
                "previous_category": earlier[-1][2] if earlier else None,
                "visit": min(seen, 20),
                "same_category_before": int(category in {row[2] for row in earlier}),
                "carted_before": int(any(row[1] == 9 for row in earlier)),
                "log_seconds_before": log1p(sum(row[3] for row in earlier)),
                "log_products_before": log1p(seen),
                "recent_skus": list(visits)[-20:],
                **dict.fromkeys(("micro", "macro", "conversion"), 0),
            }
        earlier.append((sku, kind, category, seconds))
    yield from visits.values()
