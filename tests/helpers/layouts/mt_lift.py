"""MT-LIFT: a CSV file with a header for train and one for test."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from helpers.raw_logs import Row, in_share

FEATURES = tuple(f"f{i}" for i in range(99))


def write(folder: Path, rows: int = 150) -> None:
    rng = random.Random(14)
    top = folder / "MT-LIFT"
    top.mkdir(parents=True)
    for part in ("train", "test"):
        lines = [",".join(("click", "conversion", "treatment", *FEATURES))]
        for _ in range(rows):
            click = rng.randint(0, 1)
            sale = rng.randint(0, 1) if click or rng.random() < 0.05 else 0
            features = [rng.choice(["0", "1.5", "-3.25e-2", ""]) for _ in FEATURES]
            lines.append(",".join([f"{click},{sale},{rng.randrange(5)}", *features]))
        (top / f"{part}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(folder: Path) -> Iterator[Row]:
    for part in ("train", "test"):
        with next(folder.rglob(f"{part}.csv")).open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file)):
                click, sale = int(row["click"]), int(row["conversion"])
                if sale and not click:
                    continue
                held = "train" if in_share(str(number), 0.9) else "valid"
                yield {
                    **{name: float(row[name]) if row[name] else None for name in FEATURES},
                    "treatment": int(row["treatment"]),
                    "split": held if part == "train" else "test",
                    "click": click,
                    "conversion": sale if click else None,
                }
