"""Variants of the protocol: settings of their own on shared data, and what holds in all of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from helpers.fake_runs import ORACLE, schema
from helpers.projects import one_core, train_here, without_pictures
from scipy import stats

from benchmark.cli import main
from benchmark.config import Params
from benchmark.errors import ConfigError
from benchmark.execution.archive import FILE
from benchmark.execution.run import tasks
from benchmark.files import read_json
from benchmark.registry import ROOT
from benchmark.reporting.records import DatasetResults, Fit, Provenance, Task
from benchmark.reporting.studies import variants
from benchmark.studies import Workspace

STUDY = "towers"
METHODS = ["naive", "esmm"]
CONTENT = {
    "datasets": ["oracle_funnel"],
    "methods": METHODS,
    "replicates": 2,
    "options": {"oracle_funnel": {"rows": 1000, "test_rows": 0}},
    "protocol": {"max_epochs": 1, "device": "cpu", "tuning": {"trials": 0}},
    "leaderboard": {"reference": METHODS[0], "own_references": {}},
    "variants": {"deep": {}, "flat": {"backbone": {"tower": [8]}}},
}


def write_study(folder: Path, **changes: object) -> None:
    (folder / "studies" / STUDY).mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "params.yaml", folder)
    text = yaml.safe_dump(CONTENT | changes)
    (folder / "studies" / STUDY / "params.yaml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of two variants, run and reported."""
    folder = tmp_path_factory.mktemp("variants")
    write_study(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_here(patch)
        one_core(patch)
        without_pictures(patch)
        for verb in ("data", "run", "report"):
            assert main([verb, "--study", STUDY]) == 0
    return folder


def test_variants_train_on_the_same_data_by_their_own_protocols(project: Path) -> None:
    assert [path.name for path in project.glob("data/studies/*/processed/*")] == ["oracle_funnel"]
    runs = project / "results/studies" / STUDY / "runs"
    records = {
        variant: read_json(runs / f"oracle_funnel-{variant}" / "esmm/task.json")
        for variant in ("deep", "flat")
    }
    towers = {name: record["protocol"]["backbone"]["tower"] for name, record in records.items()}
    usual = Params.read(ROOT / "params.yaml").protocol.backbone.tower
    assert towers == {"deep": list(usual), "flat": [8]}
    assert records["deep"]["data"] == records["flat"]["data"]
    assert records["deep"]["key"] != records["flat"]["key"]


def test_each_variant_has_its_table_and_a_reference_of_equal_capacity(project: Path) -> None:
    results = project / "results/studies" / STUDY
    table = (results / "leaderboard.md").read_text(encoding="utf-8")
    assert "Oracle funnel (simulated), deep" in table
    assert "Oracle funnel (simulated), flat" in table
    assert "towers 8," in table
    assert "out of date" not in table
    assert list(results.glob("runs/oracle_funnel-deep/naive@*"))
    assert not list(results.glob("runs/oracle_funnel-flat/naive@*")), "towers of 8 are equal as is"
    assert "Change of each method from the variant deep" in (results / "variants.md").read_text()


def test_published_records_have_the_schema_of_every_variant(project: Path) -> None:
    paths = set(pl.read_parquet(project / "results/studies" / STUDY / FILE)["path"])
    assert {f"oracle_funnel-{name}/schema.json" for name in ("deep", "flat")} <= paths


def test_nothing_is_left_to_do_after_a_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    cells = tasks(Workspace(STUDY))
    assert len(cells) > 2 * len(METHODS)
    assert all(cell.is_complete() for cell in cells)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variants": {"a": {"backbone": {"tower": [0]}}}}, r"params\.yaml:\d+: .*tower.* is 0"),
        ({"variants": {"a": {"max_epoch": 3}}}, r"params\.yaml:\d+: .*max_epoch.*did you mean"),
        ({"variants": {"a b": {}}}, "file name"),
        (
            {"variants": {"a": {}}, "selection": {"candidates": 2}},
            "cannot stand beside `sensitivity` or `selection`",
        ),
    ],
    ids=["value", "key", "name", "beside selection"],
)
def test_a_wrong_variant_is_one_sentence(
    changes: dict[str, object], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(tmp_path, **changes)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words) as caught:
        _ = Workspace(STUDY).params
    assert len(caught.value.sentences) == 1


# --- what holds in all of them

AUC, DRAWS = "cvr_auc_oracle", 10
FIRST = {"naive": 0.0, "good": 0.02, "better": 0.04}
SECOND = {"naive": 0.01, "good": 0.05, "better": 0.03}


def scores(levels: dict[str, float], method: str) -> np.ndarray:
    worlds = np.random.default_rng(0).normal(0.7, 0.05, DRAWS)
    own = np.random.default_rng([*method.encode(), len(str(levels))])
    return worlds + levels[method] + own.normal(0, 0.002, DRAWS)


def setting(levels: dict[str, float], variant: str) -> DatasetResults:
    def task(method: str) -> Task:
        origin = Provenance(
            method=method, title=method.title(), citation="", protocol={}, data="", code="",
            versions={}, python="", device="cpu", key="", commit=None,
        )  # fmt: skip
        fits = tuple(
            Fit(
                method=method,
                hyperparameters={},
                seed=seed,
                value=0.5,
                data=f"draw-{seed}",
                test={AUC: value},
            )
            for seed, value in enumerate(scores(levels, method).tolist())
        )
        return Task(method, origin, (), fits, None)

    results = tuple(task(method) for method in levels)
    return DatasetResults(f"oracle-{variant}", schema(ORACLE), results, variant=variant)


def report(folder: Path) -> tuple[str, pl.DataFrame]:
    board = Params.read(ROOT / "params.yaml").leaderboard.model_copy(
        update={"headline": (AUC,), "reference": "naive"}
    )
    both = [setting(FIRST, "first"), setting(SECOND, "second")]
    text = variants.write(both, board, folder)
    return text, pl.read_csv(folder / "variants.csv")


def test_gains_and_changes_are_paired_by_draw(tmp_path: Path) -> None:
    table = report(tmp_path)[1]
    gain = scores(SECOND, "good") - scores(SECOND, "naive")
    change = scores(SECOND, "better") - scores(FIRST, "better")
    for quantity, method, values in (
        ("gain over Naive", "Good", gain),
        ("change from first", "Better", change),
    ):
        row = table.filter(quantity=quantity, method=method, variant="second").row(0, named=True)
        low, high = stats.t.interval(0.95, DRAWS - 1, values.mean(), stats.sem(values))
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-4)
        assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-3)
        assert row["significant"]
    assert not table.filter(quantity="change from first", variant="first").height


def test_an_order_that_turns_round_is_counted_as_reversed(tmp_path: Path) -> None:
    text = report(tmp_path)[0]
    tau = stats.kendalltau(list(FIRST.values()), list(SECOND.values())).statistic
    row = next(line for line in text.splitlines() if "| second" in line and f"{tau:.2f}" in line)
    counts = [int(cell) for cell in row.split("|")[3:-1]]
    assert counts == [2, 0, 0, 1], "both beat Naive in both variants, Good beats Better in one"
