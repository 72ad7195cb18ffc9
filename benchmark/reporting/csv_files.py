"""Tables as CSV files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmark.files import write_text

ROUNDED = "%.6g"


def csv_text(table: pd.DataFrame, style: str | None = None) -> str:
    """Return a table as CSV; without a style, numbers keep all their digits."""
    return table.to_csv(index=False, float_format=style, lineterminator="\n")


def write_csv(path: Path, table: pd.DataFrame, style: str | None = None) -> None:
    """Write a table as a whole CSV file or not at all."""
    write_text(path, csv_text(table, style))
