"""Criteo uplift v2.1: one CSV file, gzipped, with a header."""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Iterator
from pathlib import Path

from helpers.raw_logs import Row, in_share

FILE = "criteo-research-uplift-v2.1.csv.gz"
FEATURES = tuple(f"f{i}" for i in range(12))


def write(folder: Path, users: int = 300) -> None:
    rng = random.Random(13)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [",".join((*FEATURES, "treatment", "conversion", "visit", "exposure"))]
    for _ in range(users):
        treated, visit = int(rng.random() < 0.85), rng.randint(0, 1)
        sale = rng.randint(0, 1) if visit or rng.random() < 0.05 else 0
        exposed = rng.randint(0, 1) if treated else 0
        features = [str(rng.choice([12.616365, -0.168679, 9])) for _ in FEATURES]
        lines.append(",".join([*features, f"{treated},{sale},{visit},{exposed}"]))
    with gzip.open(folder / FILE, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def read(folder: Path, *, exposed: bool = False) -> Iterator[Row]:
    with gzip.open(next(folder.rglob(FILE)), "rt", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            visit, sale = int(row["visit"]), int(row["conversion"])
            if (sale and not visit) or (exposed and row["exposure"] == "0"):
                continue
            share = 0.85 if row["treatment"] == "1" else 1 - 0.85
            first = next(
                (s for s, b in (("train", 0.8), ("valid", 0.9)) if in_share(str(number), b)), "test"
            )
            yield {
                **{name: float(row[name]) for name in FEATURES},
                "treatment": int(row["treatment"]),
                "split": first,
                "click": visit,
                "conversion": sale if visit else None,
            } | ({} if exposed else {"propensity": share})
