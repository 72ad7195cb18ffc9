"""Predictions are scored from data alone, and what contradicts the record is reported."""

from __future__ import annotations

import shutil
from pathlib import Path

import optuna
import polars as pl
import pytest
import yaml
from helpers.runs import run

from benchmark.cli import main
from benchmark.config import Protocol
from benchmark.execution.searches import address, export
from benchmark.files import read_json
from benchmark.registry import ROOT
from benchmark.studies import Workspace


@pytest.fixture
def file(
    processed: Path, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return the predictions of a replicate in a project whose only setting is the tiny funnel."""
    monkeypatch.chdir(tmp_path)
    write_fits(processed, protocol, trials=0)
    return Path("results/runs/tiny/naive/default/1.parquet")


def write_fits(processed: Path, protocol: Protocol, trials: int) -> None:
    """Write the project into this folder, with the fits of one method."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content |= {"datasets": ["tiny"], "methods": ["naive"], "options": {}}
    Path("params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    Path("data").mkdir()
    Path("data/processed").symlink_to(processed.parent)
    tuning = protocol.tuning.model_copy(update={"trials": trials, "draws": 1})
    small = protocol.model_copy(update={"tuning": tuning, "max_epochs": 1})
    run(Path("results/runs/tiny/naive"), processed, "naive", small)


def test_predictions_give_the_metrics_on_record(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(file.parents[1])]) == 0
    text = capsys.readouterr().out
    assert text.count("equal to the record in all") == 2
    assert "cvr_auc_clicked" in text


def test_changed_predictions_contradict_the_record(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.read_parquet(file).with_columns(cvr=pl.col("cvr") / 2).write_parquet(file)
    assert main(["score", str(file)]) == 1
    told = capsys.readouterr()
    assert "CONTRADICTS the record: the file is not the one whose SHA-256" in told.out
    assert "CONTRADICTS the record: cvr_logloss_clicked is " in told.out
    assert told.err == "error: 1 file(s) contradict the record\n"


def test_somebodys_predictions_are_scored_on_the_setting_that_is_named(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(file, file.with_name("mine.parquet"))
    assert main(["score", str(file.with_name("mine.parquet"))]) == 1
    assert "is not named by its replicate" in capsys.readouterr().err
    sent = Path("sent.parquet")
    file.rename(sent)
    assert main(["score", str(sent)]) == 1
    assert "name its setting with --setting" in capsys.readouterr().err
    assert main(["score", str(sent), "--setting", "tiny"]) == 0
    assert "no record beside it to compare with" in capsys.readouterr().out
    assert main(["score", str(sent), "--setting", "tiny", "--replicate", "last"]) == 1
    wrong = "error: --replicate is 'last'; it must be a whole number of at least 0\n"
    assert capsys.readouterr().err == wrong
    assert main(["optuna"]) == 1
    assert "no search is on record in results/runs" in capsys.readouterr().err


def test_a_folder_without_predictions_leads_to_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "task.json").write_text("{}")
    assert main(["score", "nowhere"]) == main(["score", str(tmp_path / "task.json")]) == 1
    error = capsys.readouterr().err
    assert "error: nowhere is not there\n" in error
    assert "task.json holds no predictions, which a file *.parquet does\n" in error
    assert main(["score", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "holds no predictions" in error
    assert "`python -m benchmark verify`" in error


def test_optuna_opens_the_searches_on_record(
    processed: Path,
    protocol: Protocol,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_fits(processed, protocol, trials=2)
    path, count = export(Workspace())
    study = optuna.load_study(study_name="naive on tiny", storage=address(path))
    assert count == 1
    recorded = [
        read_json(file) for file in sorted(Path("results/runs/tiny/naive/trials").iterdir())
    ]
    assert [trial.value for trial in study.trials] == [fit["value"] for fit in recorded]
    assert [trial.params for trial in study.trials] == [fit["hyperparameters"] for fit in recorded]
    assert not [warning for warning in recwarn if "experimental" in str(warning.message)]
