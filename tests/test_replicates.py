"""Replicates and tuning draws of a simulated dataset: fresh, paired, and the former reported."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.projects import work_here, write_small_params

from benchmark.cli import main
from benchmark.data.prepare import Draw, process
from benchmark.files import read_json
from benchmark.schema import Schema
from benchmark.studies import TUNING_SEED, Workspace

METHODS = ["esmm", "naive"]
TUNING = {"trials": 2, "batch": 2, "seed": 3, "draws": 2}
RAW = Path("data/raw/oracle_funnel")
PROCESSED = Path("data/processed/oracle_funnel")
RUNS = Path("results/runs/oracle_funnel")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with all data, runs and reports; to read or to copy."""
    folder = tmp_path_factory.mktemp("project")
    write_small_params(folder, METHODS, protocol={"tuning": TUNING})
    with pytest.MonkeyPatch.context() as patch:
        work_here(folder, patch)
        assert main(["data"]) == main(["run", "--strict"]) == main(["report"]) == 0
    return folder


@pytest.fixture
def here(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)


def schemas() -> dict[str, Schema]:
    return {folder.name: Schema.read(folder) for folder in PROCESSED.iterdir()}


def fits(method: str, part: str) -> dict[str, Any]:
    paths = sorted((RUNS / method / part).glob("*.json"))
    return {path.stem: read_json(path) for path in paths}


@pytest.mark.usefixtures("here")
def test_every_replicate_and_every_tuning_draw_has_data_of_its_own() -> None:
    found = schemas()
    assert sorted(found) == ["0", "1", "tuning-0", "tuning-1"]
    assert len({schema.fingerprint for schema in found.values()}) == 4
    first = found["0"].options["seed"]
    seeds = {name: schema.options["seed"] - first for name, schema in found.items()}
    assert seeds == {"0": 0, "1": 1, "tuning-0": TUNING_SEED, "tuning-1": TUNING_SEED + 1}


@pytest.mark.usefixtures("here")
def test_replicates_differ_in_data_and_weights_and_are_paired_over_methods() -> None:
    data = schemas()
    for method in METHODS:
        part = read_json(RUNS / method / "best.json")["part"]
        for found in (fits(method, "default"), fits(method, part)):
            assert [fit["data"] for fit in found.values()] == [data[n].fingerprint for n in "01"]
            assert [fit["seed"] for fit in found.values()] == [0, 1]
            assert found["0"]["test"] != found["1"]["test"]


@pytest.mark.usefixtures("here")
def test_trials_are_fitted_on_tuning_draws_which_no_table_reports() -> None:
    data = schemas()
    for method in METHODS:
        trials = fits(method, "trials")
        assert sorted(trials) == ["0000-0", "0000-1", "0001-0", "0001-1"]
        for name, fit in trials.items():
            assert fit["data"] == data[f"tuning-{name[-1]}"].fingerprint
            assert "test" not in fit
    with Path("results/runs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted((row["method"], row["seed"]) for row in rows) == [
        (method, seed) for method in METHODS for seed in "01"
    ]


def test_a_replicate_whose_data_changed_is_out_of_date_and_trained_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    work_here(tmp_path, monkeypatch)
    options = Workspace().params.options["oracle_funnel"]
    changed = options | {"seed": 7}
    other = Draw("oracle_funnel", "oracle_funnel", changed, RAW, PROCESSED / "1")
    process(other)
    assert main(["report"]) == 0
    text = Path("results/leaderboard.md").read_text(encoding="utf-8")
    sentence = "out of date: replicate 1 was run on other data than are now prepared; run it again"
    assert text.count(sentence) == len(METHODS)

    before = {path: path.stat().st_mtime_ns for path in RUNS.glob("*/*/*.json")}
    assert main(["run", "--strict"]) == main(["report"]) == 0
    again = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert {path.name for path in again} == {"1.json"}
    assert len({path.parent.parent for path in again}) == len(METHODS)
    assert sentence not in Path("results/leaderboard.md").read_text(encoding="utf-8")


def test_fewer_draws_are_deleted_and_nothing_current_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small_params(tmp_path, METHODS, protocol={"tuning": TUNING})
    work_here(tmp_path, monkeypatch)
    assert main(["data"]) == 0
    before = {path: path.stat().st_mtime_ns for path in PROCESSED.rglob("*.parquet")}
    write_small_params(tmp_path, METHODS, replicates=1, protocol={"tuning": TUNING | {"draws": 1}})
    assert main(["data"]) == 0
    assert sorted(folder.name for folder in PROCESSED.iterdir()) == ["0", "tuning-0"]
    assert all(before[path] == path.stat().st_mtime_ns for path in PROCESSED.rglob("*.parquet"))
    (PROCESSED / "0" / "schema.json").unlink()
    assert main(["data"]) == 0
    assert (PROCESSED / "0" / "schema.json").is_file()
