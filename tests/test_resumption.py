"""What a killed process had read is read once, and by no one else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmark.data.dataset import DataError, Dataset, kept
from benchmark.data.full_disk import DiskFullError, is_full
from benchmark.data.options import Options
from benchmark.data.partitions import temporary_folder
from benchmark.data.preprocess import preprocess


class Low(Options):
    """A choice that changes nothing."""

    low: int = 0


class Log(Dataset):
    """Two files of rows; how often they are read is counted."""

    title = "Log"
    citation = licence = claims = ""
    stages = ("impression", "click", "conversion")
    categorical = ("city",)
    options: Low
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

        rows = pl.scan_csv(path).cast({"click": pl.Int8, "conversion": pl.Int8})
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
    """Return the fingerprint, and what lies beside the processed folder."""
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


def ended(error: BaseException) -> Callable[..., None]:
    """Return a stand-in for a step that ends the process."""

    def end(*_: object) -> None:
        raise error

    return end


def test_an_adapter_all_of_whose_parts_were_read_is_not_asked_again(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def notes(self: Log, raw: Path) -> str:
        return "What only the raw files tell."

    teller = type("Teller", (Log,), {"notes": notes, "claims": "What is always so."})
    with monkeypatch.context() as patched:
        patched.setattr("benchmark.data.checks.check", ended(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(raw, teller())
    for asked in ("parts", "notes"):
        monkeypatch.setattr(teller, asked, ended(AssertionError("asked again")))
    assert run(raw, teller())[1] == ["log"]
    schema = json.loads((raw.parent / "out" / "log" / "schema.json").read_text())
    assert schema["claims"] == "What is always so. What only the raw files tell."


def test_what_a_kill_left_unfinished_is_deleted_and_what_is_whole_is_not(raw: Path) -> None:
    interrupted(raw)
    scratch = raw.parent / "out" / ".log.scratch"
    (temporary_folder(scratch / "base") / "by-who").mkdir()
    (scratch / ".by-item.tmp").mkdir()
    (scratch / ".two.parquet.0.tmp").write_bytes(b"half")
    (scratch / "by-item").mkdir()
    interrupted(raw)
    assert sorted(path.name for path in scratch.rglob("*")) == [
        "base", "by-item", "inputs.json", "one.parquet",
    ]  # fmt: skip


FULL = pl.exceptions.ComputeError("parquet: No space left on device (os error 28)")


@pytest.mark.parametrize("file", ["two.parquet", "valid.parquet"])
def test_a_full_disk_is_told_and_what_was_read_is_kept(
    raw: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    def full(frame: pl.LazyFrame, path: Path, **options: Any) -> None:
        if file in path.name:
            raise FULL
        sink(frame, path, **options)

    sink = pl.LazyFrame.sink_parquet
    monkeypatch.setattr(pl.LazyFrame, "sink_parquet", full)
    with pytest.raises(
        DataError, match=r"^the disk of .* is full, [\d,]+ bytes are left now; make"
    ):
        run(raw, Log())
    monkeypatch.undo()
    assert [path.name for path in (raw.parent / "out").iterdir()] == [".log.scratch"]
    before = Log.reads
    assert run(raw, Log())[1] == ["log"]
    assert Log.reads == before + (file == "two.parquet")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
def test_a_full_disk_is_known_by_the_words_of_polars_and_of_the_system() -> None:
    rows = pl.LazyFrame({"x": range(1000)})
    with pytest.raises(pl.exceptions.PolarsError) as error:
        rows.sink_parquet("/dev/full")
    assert is_full(error.value)
    with pytest.raises(OSError, match="No space") as other:
        Path("/dev/full").write_bytes(b"x")
    assert is_full(other.value)
    assert not is_full(ValueError("os error 2"))


def test_no_room_at_all_explains_an_error_too(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage(raw)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    monkeypatch.setattr("benchmark.data.checks.check", ended(RuntimeError("a task failed")))
    with pytest.raises(DiskFullError, match="is full, 0 bytes are left now"):
        run(raw, Log())


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
    processed = raw.parent / "out" / "log"
    assert json.loads((processed / "report.json").read_text())["dropped"] == {"late": 1}
    assert [len(pl.read_parquet(processed / f"{x}.parquet")) for x in ("train", "test")] == [2, 1]
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
