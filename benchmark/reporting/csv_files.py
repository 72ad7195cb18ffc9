"""Tables as CSV files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmark.files import write_text

ROUNDED = "%.6g"


def write_csv(path: Path, table: pd.DataFrame, style: str | None = None) -> None:
    """Write a whole CSV file or nothing; without a style, numbers keep all their digits."""
    write_text(path, table.to_csv(index=False, float_format=style, lineterminator="\n"))
