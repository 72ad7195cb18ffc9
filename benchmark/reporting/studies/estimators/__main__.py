"""Write the table of the estimators' relative errors: ``results/studies/estimators``."""

from __future__ import annotations

from pathlib import Path

from benchmark.reporting.studies.estimators.report import write
from benchmark.reporting.studies.estimators.world import ratings_file, world

if __name__ == "__main__":
    folder = Path("results/studies/estimators")
    write(world(ratings_file()), folder)
    print(  # noqa: T201 (a program's result)
        f"wrote {folder / 'estimators.md'}"
    )
