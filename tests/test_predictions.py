"""What a final fit leaves beside its record: predictions from which its metrics come out again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from helpers.runs import records, run

from benchmark.config import Protocol
from benchmark.execution import predictions
from benchmark.execution.predictions import PredictionsError
from benchmark.files import sha256
from benchmark.metrics.evaluation import evaluate
from benchmark.metrics.populations import Scores
from benchmark.schema import Schema
from benchmark.training.trainer import read_labels

SCORES = Scores(cvr=np.array([0.25, 0.5, 0.125]), ctr=None)


@pytest.mark.parametrize("method", ["naive", "esmm"])
def test_every_metric_of_a_final_fit_follows_from_its_predictions(
    method: str, processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    run(tmp_path, processed, method, protocol)
    labels = read_labels(processed, "test", Schema.read(processed))
    finals = {name: found for name, found in records(tmp_path).items() if "test" in found}
    for name, record in finals.items():
        file = (tmp_path / name).with_suffix(".parquet")
        scores = predictions.read(file, len(labels.conversion))
        assert record["predictions"] == sha256(file)
        assert (scores.ctr is None) == (method == "naive")
        assert evaluate(labels, scores) == record["test"]
    assert len(finals) == len(list(tmp_path.rglob("*.parquet"))) > 0


def test_rows_may_come_in_any_order(tmp_path: Path) -> None:
    predictions.write(tmp_path / "0.json", SCORES)
    file = tmp_path / "0.parquet"
    pl.read_parquet(file).reverse().write_parquet(file)
    assert predictions.read(file, 3).cvr.tolist() == SCORES.cvr.tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop("cvr"), "lacks the column 'cvr'"),
        (lambda frame: frame.head(2), "has 2 rows and lacks row 2; it needs one for each of the 3"),
        (
            lambda frame: pl.concat([frame, frame]),
            "has 6 rows; it needs one for each of the 3 test",
        ),
        (
            lambda frame: frame.cast({"row": pl.Float64}),
            "'row' has Float64; it needs whole numbers",
        ),
        (lambda frame: frame.cast({"cvr": pl.String}), "'cvr' has String; it needs numbers"),
        (
            lambda frame: frame.with_columns(cvr=frame["cvr"] > 0),
            "'cvr' has Boolean; it needs numbers",
        ),
        (lambda frame: frame.with_columns(row=pl.lit(1)), "numbered from 0 to 2"),
        (lambda frame: frame.with_columns(cvr=frame["cvr"] + 0.75), "cvr of row 1 is no prob"),
        (lambda frame: frame.with_columns(cvr=pl.lit(None)), "cvr of row 0 is no probability"),
        (lambda frame: frame.with_columns(ctr=pl.lit(float("nan"))), "ctr of row 0 is no prob"),
    ],
)
def test_what_is_no_prediction_of_every_row_is_refused(
    change: object, said: str, tmp_path: Path
) -> None:
    predictions.write(tmp_path / "0.json", SCORES)
    file = tmp_path / "0.parquet"
    assert callable(change)
    change(pl.read_parquet(file)).write_parquet(file)
    with pytest.raises(PredictionsError, match=said):
        predictions.read(file, 3)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    predictions.write(tmp_path / "0.json", SCORES)
    file = tmp_path / "0.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(PredictionsError, match="no whole Parquet file"):
        predictions.read(file, 3)
