"""What a killed process had read is read once, and by no one else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmark.data.dataset import DataError, Dataset, kept
from benchmark.data.preprocess import preprocess


class Log(Dataset):
    """Two files of rows; how often they are read is counted."""

    title = "Log"
    citation = licence = claims = ""
    stages = ("impression", "click", "conversion")
    categorical = ("city",)
    options = {"low": 0}
    reads = 0
    end: BaseException | None = None  # of the process, once the first file was read

    def parts(self, raw: Path) -> Mapping[str, pl.LazyFrame]:
        return {"one": self._rows(raw / "one.csv"), "two": self._rows(raw / "two.csv")}

    def table(self, raw: Path) -> pl.LazyFrame:
        return pl.concat(self.parts(raw).values())

    def _rows(self, path: Path) -> pl.LazyFrame:
        def counted(rows: pl.DataFrame) -> pl.DataFrame:
            type(self).reads += 1
            if self.end and path.stem == "two":
                raise self.end
            return rows

        rows = pl.scan_csv(path, glob=False).cast({"click": pl.Int8, "conversion": pl.Int8})
        return rows.map_batches(counted, streamable=False)


HEADER = "city,click,conversion,split\n"
ROWS = {"one": "Rome,1,0,train\nOslo,0,,train\n", "two": "Rome,1,1,valid\nOslo,0,,test\n"}


@pytest.fixture(autouse=True)
def _none_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Log, "reads", 0)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    for name, rows in ROWS.items():
        (tmp_path / "raw" / f"{name}.csv").write_text(HEADER + rows, encoding="utf-8")
    return tmp_path / "raw"


def run(raw: Path, dataset: Dataset) -> tuple[str, list[str]]:
    """Return the fingerprint, and what lies beside the ready folder."""
    schema = preprocess(dataset, "log", raw, raw.parent / "out" / "log", verified=True)
    return schema.fingerprint, sorted(path.name for path in (raw.parent / "out").iterdir())


def interrupted(raw: Path, **options: Any) -> Log:
    dataset = Log(**options)
    dataset.end = KeyboardInterrupt()
    with pytest.raises(BaseException):  # noqa: B017, PT011
        run(raw, dataset)
    dataset.end = None
    return dataset


def test_a_part_that_was_read_is_not_read_again(raw: Path) -> None:
    whole = run(raw, Log())
    assert Log.reads == 2
    interrupted(raw)
    assert Log.reads == 4
    assert run(raw, Log()) == whole == (whole[0], ["log"])
    assert Log.reads == 5


def test_parts_that_were_all_read_are_not_asked_for_again(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.data.checks.check", killed)
    with pytest.raises(KeyboardInterrupt):
        run(raw, Log())
    scratch = raw.parent / "out" / ".log.scratch"
    (scratch / "events-left").mkdir()
    (scratch / ".one.parquet.left.tmp").touch()
    monkeypatch.setattr(Log, "parts", Log.table)
    with pytest.raises(KeyboardInterrupt):
        run(raw, Log())
    left = {path.name for path in scratch.iterdir()}
    assert left == {"inputs.json", "parts.json", "one.parquet", "two.parquet"}
    assert Log.reads == 2


def test_a_folder_may_have_any_name(raw: Path) -> None:
    whole, _ = run(raw, Log())
    strange = raw.parent / "a[1]*" / "raw"
    strange.parent.mkdir()
    raw.rename(strange)
    assert run(strange, Log()) == (whole, ["log"])


@pytest.mark.parametrize("change", ["file", "options"])
def test_other_inputs_start_anew(raw: Path, change: str) -> None:
    interrupted(raw)
    if change == "file":
        os.utime(raw / "one.csv", (1, 1))
    run(raw, Log(**({"low": 1} if change == "options" else {})))
    assert Log.reads == 4


def test_an_error_leaves_nothing(raw: Path) -> None:
    (raw / "two.csv").write_text(HEADER + "Rome,1,,valid\nOslo,0,,test\n", encoding="utf-8")
    with pytest.raises(DataError, match="conversion must be known on clicked rows"):
        run(raw, Log())
    assert list((raw.parent / "out").iterdir()) == []


# --- what is optional


class Given(Log):
    """Rows as a test gives them."""

    def __init__(self, **more: Any) -> None:
        super().__init__()
        self.more = more

    def table(self, raw: Path) -> pl.LazyFrame:
        rows = pl.concat(pl.scan_csv(raw / f"{name}.csv") for name in ROWS)
        return rows.cast({"click": pl.Int8, "conversion": pl.Int8}).with_columns(**self.more)

    def parts(self, raw: Path) -> Mapping[str, pl.LazyFrame]:
        return {"rows": self.table(raw)}


def test_dropped_rows_are_left_out_and_counted(raw: Path) -> None:
    rule = pl.when(pl.int_range(pl.len()) == 4).then(pl.lit("late")).alias("dropped")
    (raw / "two.csv").write_text(HEADER + ROWS["two"] + "Rome,0,1,late\n", encoding="utf-8")
    dataset = Given(dropped=rule)
    run(raw, dataset)
    ready = raw.parent / "out" / "log"
    assert json.loads((ready / "report.json").read_text())["dropped"] == {"late": 1}
    assert [len(pl.read_parquet(ready / f"{x}.parquet")) for x in ("train", "test")] == [2, 1]
    assert kept(dataset.table(raw)).collect().height == 4


def test_without_dropped_rows_nothing_is_said_of_them(raw: Path) -> None:
    run(raw, Given(dropped=pl.lit(None, dtype=pl.String)))
    assert "dropped" not in json.loads((raw.parent / "out/log/report.json").read_text())
    frame = Given().table(raw)
    assert kept(frame) is frame


def test_published_propensities_are_stored(raw: Path) -> None:
    known = pl.Series([0.5, None, 1.0, 0.001])
    schema = preprocess(
        Given(propensity=known), "log", raw, raw.parent / "out" / "log", verified=True
    )
    assert schema.has_propensity
    train = pl.read_parquet(raw.parent / "out" / "log" / "train.parquet")
    assert train["propensity"].to_list() == [0.5, None]


@pytest.mark.parametrize("value", [0.0, 1.5, float("nan")])
def test_what_is_no_propensity_is_refused(raw: Path, value: float) -> None:
    with pytest.raises(DataError, match="propensity must be above 0, at most 1, or missing; 4"):
        run(raw, Given(propensity=pl.lit(value)))
    with pytest.raises(DataError, match="propensity is String, it must be Float64"):
        run(raw, Given(propensity=pl.lit("half")))
