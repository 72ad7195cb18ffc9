"""Test predictions of final fits, from which every metric can be computed again.

They lie beside their record, which has their SHA-256: one row per row of the test split, with its
position there and the predicted CVR and, where the method predicts it, CTR as float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from benchmark import parquet
from benchmark.errors import BenchmarkError
from benchmark.files import replacing, sha256
from benchmark.metrics.populations import Array, Scores

SUFFIX = ".parquet"
ROUNDING = 1e-6  # of a probability in single precision, which may lie so far above 1
COLUMNS = {"row": pl.UInt32, "cvr": pl.Float32, "ctr": pl.Float32}


class PredictionsError(BenchmarkError):
    """A file has no predictions of the rows that it is asked for."""


def write(record: Path, scores: Scores) -> str:
    """Write the predictions that belong to the record at a path; return their SHA-256."""
    columns = {"row": np.arange(len(scores.cvr)), "cvr": scores.cvr, "ctr": scores.ctr}
    known = {name: values for name, values in columns.items() if values is not None}
    target = record.with_suffix(SUFFIX)
    with replacing(target) as temporary:
        frame = pl.DataFrame(known).cast({name: COLUMNS[name] for name in known})
        frame.write_parquet(temporary, compression="zstd")
    return sha256(target)


def read(path: Path, rows: int) -> Scores:
    """Return the predictions in a file, in the order of the test split of so many rows.

    Raises:
        FileNotFoundError: there is no such file.
        PredictionsError: it lacks a column, a row or a number, or a number is no probability.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    frame = _opened(path)
    if missing := [name for name in ("row", "cvr") if name not in frame.columns]:
        raise PredictionsError(f"{path} lacks the column {missing[0]!r}; it needs row and cvr")
    for name, kind in frame.select(set(COLUMNS) & set(frame.columns)).schema.items():
        if not (kind.is_integer() or (kind.is_float() and name != "row") or kind == pl.Null):
            what = "whole numbers" if name == "row" else "numbers"
            raise PredictionsError(f"{path}: the column {name!r} has {kind}; it needs {what}")
    frame = frame.sort("row")
    if not np.array_equal(frame["row"].to_numpy(), np.arange(rows)):
        absent = np.setdiff1d(np.arange(rows), frame["row"].drop_nulls().to_numpy())
        raise PredictionsError(
            f"{path} has {len(frame)} rows"
            + (f" and lacks row {absent[0]}" if len(absent) else "")
            + f"; it needs one for each of the {rows} test rows, numbered from 0 to {rows - 1} in "
            "the column 'row'"
        )
    ctr = _probabilities(path, frame, "ctr") if "ctr" in frame.columns else None
    return Scores(_probabilities(path, frame, "cvr"), ctr)


def _opened(path: Path) -> pl.DataFrame:
    try:
        return parquet.read(path)
    except pl.exceptions.PolarsError as error:
        raise PredictionsError(f"{path} is no whole Parquet file; write it again") from error


def _probabilities(path: Path, frame: pl.DataFrame, name: str) -> Array:
    values = frame[name].cast(pl.Float64).fill_null(float("nan"))
    wrong = frame["row"].filter(~values.is_between(0, 1 + ROUNDING) | values.is_nan())
    if len(wrong):
        raise PredictionsError(f"{path}: {name} of row {wrong[0]} is no probability in [0, 1]")
    return values.to_numpy()
