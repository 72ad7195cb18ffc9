"""Splits that were cut off or edited are named, trained on by nobody, and made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.projects import work_here, write_small_params

from benchmark.cli import main
from benchmark.files import DamagedError
from benchmark.splits import check_whole, schema_of

SPLITS = Path("data/processed/oracle_funnel")
RUNS = Path("results/runs/oracle_funnel")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_small_params(tmp_path, ["naive"])
    work_here(tmp_path, monkeypatch)
    assert main(["data"]) == 0
    return tmp_path


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("replicate", [0, 1])
@pytest.mark.parametrize("content", [b"", b'{"dataset": ', b"\xff\xfe"])
def test_a_schema_that_is_cut_is_named_and_made_again(
    replicate: int, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = SPLITS / str(replicate) / "schema.json"
    whole = path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=rf"{path} is no schema: .* `python -m benchmark data`"):
        schema_of(path.parent)
    assert main(["run", "--strict"]) == 1
    error = capsys.readouterr().err
    assert f"{path} is no schema: it was cut off or edited" in error
    assert main(["data"]) == main(["run", "--strict"]) == 0
    assert path.read_bytes() == whole


@pytest.mark.usefixtures("project")
def test_splits_that_were_changed_are_not_trained_on_and_made_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = (SPLITS / "1" / "train.parquet").read_bytes()
    shutil.copy(SPLITS / "0" / "train.parquet", SPLITS / "1" / "train.parquet")
    with pytest.raises(DamagedError, match=f"the splits in {SPLITS}/1 are not those"):
        check_whole(SPLITS / "1")
    assert main(["run", "--strict"]) == 1
    assert "edited or damaged since; `python -m benchmark data`" in capsys.readouterr().err
    assert not (RUNS / "naive" / "default" / "1.json").exists()
    assert main(["data"]) == main(["run", "--strict"]) == 0
    assert (SPLITS / "1" / "train.parquet").read_bytes() == whole


@pytest.mark.usefixtures("project")
def test_the_record_of_another_replicate_is_not_reported_and_made_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", "--strict"]) == 0
    first, second = (RUNS / "naive" / "default" / f"{number}.json" for number in (0, 1))
    whole = second.read_bytes()
    shutil.copy(first, second)
    assert main(["report"]) == 0
    text = Path("results/leaderboard.md").read_text(encoding="utf-8")
    assert "the record of replicate 1 is of another fit; run it again" in text
    assert main(["run", "--strict"]) == 0
    assert seconds_aside(second.read_text()) == seconds_aside(whole.decode())
    capsys.readouterr()


def seconds_aside(text: str) -> list[str]:
    return [line for line in text.splitlines() if '"seconds"' not in line and "digest" not in line]
