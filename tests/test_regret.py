"""The study of criteria: what is recorded of candidates, and what their regret comes to."""

from __future__ import annotations

import csv
import re
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import TinyFunnel
from helpers.plugins import methods_that_load

from benchmark import registry
from benchmark.cli import main
from benchmark.config import Params, Protocol
from benchmark.data.dataset import Dataset
from benchmark.data.preprocess import preprocess
from benchmark.execution.candidates import BOUNDS, TARGETS
from benchmark.execution.run import run_tasks
from benchmark.execution.tasks import Candidates
from benchmark.files import read_json
from benchmark.metrics.criteria import CRITERIA, ESTIMATED
from benchmark.registry import ROOT
from benchmark.reporting.statistics import Interval
from benchmark.reporting.studies.regret.measure import (
    ALL,
    BOUND,
    CRITERION,
    DEFAULTS,
    RANDOM,
    REFERENCE,
    CandidateSet,
    Mean,
    outcomes,
    summary,
)
from benchmark.reporting.studies.regret.report import conclusions, markdown
from benchmark.sealing import write_sealed
from benchmark.studies import Setting

AUC, RISK, TRUE = "cvr_auc_clicked", "cvr_drlogloss_impressions", "cvr_logloss_oracle"
KINDS = methods_that_load()
PLAIN = next(n for n, k in KINDS.items() if not k.search_space and k.requires == {"click"})


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the processed folder of a small setting with an oracle."""
    folder = tmp_path_factory.mktemp("data") / "setting"
    kinds = (registry.load("datasets", name, Dataset) for name in registry.names("datasets"))
    simulated = next(
        k for k in kinds if not k.sources and "rows" in k.options_model().model_fields and k.stages
    )
    preprocess(simulated(rows=4000), "setting", folder, folder, verified=True)
    return folder


# --- what is recorded


def candidates(folder: Path, processed: Path, protocol: Protocol) -> Candidates:
    return Candidates(folder, Setting("tiny", "tiny", {}, processed), PLAIN, protocol, 2, 3)


def test_every_epoch_of_every_candidate_is_judged_by_all_criteria(
    setting: Path, protocol: Protocol, tmp_path: Path
) -> None:
    impatient = protocol.model_copy(update={"patience": 1, "max_epochs": 4})
    task = candidates(tmp_path, setting, impatient)
    assert not run_tasks([task], nullcontext())
    records = [read_json(path) for path in sorted((tmp_path / "candidates").iterdir())]
    assert [path.name for path in sorted((tmp_path / "candidates").iterdir())] == [
        "0-0000.json", "0-0001.json", "0-0002.json", "1-0000.json", "1-0001.json", "1-0002.json",
    ]  # fmt: skip
    assert len({str(record["hyperparameters"]) for record in records}) == 5  # defaults twice
    assert [record["seed"] for record in records] == [0, 0, 0, 1, 1, 1]
    expected = {name for name in CRITERIA if not name.endswith("random") and "ctcvr" not in name}
    for record in records:
        assert len(record["epochs"]) == 4
        for epoch in record["epochs"]:
            assert {AUC, *ESTIMATED} <= epoch["criteria"].keys() <= expected
            assert epoch["bounds"].keys() == set(BOUNDS)
            assert epoch["targets"].keys() == set(TARGETS)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert not run_tasks([task], nullcontext())
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}


def test_without_a_truth_there_is_nothing_to_compare_with(
    processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    assert "oracle_cvr" not in TinyFunnel().categorical
    assert not run_tasks([candidates(tmp_path / "run", processed, protocol)], nullcontext())
    reason = "tiny has no oracle, which comparing criteria needs"
    assert read_json(tmp_path / "run" / "skipped.json")["reason"] == reason
    assert not list(tmp_path.rglob("candidates"))


# --- what it comes to


def candidate_set(
    name: str, auc: list[float], risk: list[float], truth: list[float]
) -> CandidateSet:
    """Return two candidates of two epochs each."""
    index = pd.MultiIndex.from_product([[0, 1], [0, 1]])
    criteria = pd.DataFrame({AUC: auc, RISK: risk}, index)
    bounds, targets = (pd.DataFrame({TRUE: truth}, index) for _ in range(2))
    return CandidateSet(name, criteria, bounds, targets)


def candidate_sets() -> list[CandidateSet]:
    truth = [0.4, 0.3, 0.25, 0.28]
    return [
        candidate_set("w", [0.6, 0.7, 0.65, 0.64], [0.4, 0.3, 0.2, 0.2], truth),
        candidate_set("w", [0.6, 0.5, 0.65, 0.64], [0.2, 0.3, 0.2, 0.2], truth),
        candidate_set("x", [0.6, 0.7, 0.8, 0.64], [0.5, 0.4, 0.3, 0.2], truth),
    ]


def test_regret_is_the_truth_of_the_choice_less_that_of_the_best() -> None:
    regrets = outcomes(candidate_sets())
    found = regrets.pivot(index="criterion", columns="candidate_set", values="regret")
    assert found.loc[AUC].tolist() == pytest.approx([0.05, 0, 0])
    assert found.loc[RISK].tolist() == pytest.approx([0, 0.15, 0.03])  # the first of equals
    assert found.loc[TRUE].tolist() == [0, 0, 0]
    assert found.loc[DEFAULTS].tolist() == pytest.approx([0.05] * 3)
    assert found.loc[RANDOM].tolist() == pytest.approx([0.0575] * 3)


def test_correlation_is_1_where_the_criterion_ranks_as_the_truth_does() -> None:
    truth = [0.4, 0.3, 0.25, 0.28]
    backwards = [candidate_set("w", truth, [0.9, 0.8, 0.6, 0.7], truth)]
    found = outcomes(backwards).set_index("criterion").correlation
    assert found[RISK] == pytest.approx(1)  # lower is better, as in the truth
    assert found[AUC] == pytest.approx(-1)
    assert found[TRUE] == pytest.approx(1)


def test_means_are_paired_with_the_default_and_over_all_settings_too() -> None:
    means = {(m.setting, m.criterion): m for m in summary(outcomes(candidate_sets()), AUC, 0.95)}
    assert {setting for setting, _ in means} == {"w", "x", ALL}
    assert (
        means["w", RISK].candidate_sets,
        means["x", RISK].candidate_sets,
        means[ALL, RISK].candidate_sets,
    ) == (2, 1, 3)
    assert means[ALL, AUC].regret.mean == pytest.approx(0.05 / 3)
    change = means["w", RISK].change
    assert change is not None
    assert change.mean == pytest.approx((-0.05 + 0.15) / 2)
    assert means["x", RISK].regret == Interval(pytest.approx(0.03), None)
    assert means["w", AUC].best
    assert means["w", RISK].best  # not significantly different with two sets
    assert not means[ALL, TRUE].best  # no log knows it
    assert means[ALL, TRUE].kind == BOUND
    assert means[ALL, RANDOM].kind == REFERENCE


def test_an_undefined_criterion_is_left_out_and_a_diverged_candidate_counts_as_far_as_it_got() -> (
    None
):
    (first, *_) = candidate_sets()
    half = CandidateSet(
        "w", first.criteria.assign(**{RISK: float("nan")})[1:], first.bounds[1:], first.targets[1:]
    )
    found = outcomes([half]).set_index("criterion")
    assert RISK not in found.index
    assert found.regret[AUC] == pytest.approx(0.05)


def mean(criterion: str, kind: str, regret: float, change: Interval | None = None) -> Mean:
    return Mean(TRUE, ALL, kind, criterion, 9, Interval(regret, 0.001), change, None, best=False)


def test_conclusions_follow_the_numbers() -> None:
    assert Interval(-0.2, 0.1).excludes_zero
    assert not Interval(-0.05, 0.1).excludes_zero
    rows = [
        mean(AUC, CRITERION, 0.02, Interval(0.0, 0.0)),
        mean(RISK, CRITERION, 0.01, Interval(-0.01, 0.004)),
        mean("cvr_logloss_clicked", CRITERION, 0.03, Interval(0.01, 0.004)),
        mean("ctcvr_auc_impressions", CRITERION, 0.021, Interval(0.001, 0.004)),
        mean(TRUE, BOUND, 0.001),
        mean(RANDOM, REFERENCE, 0.1),
    ]
    default, changes, bound, _ = conclusions(rows, AUC)
    assert "(CVR AUC, clicked impressions) has a regret of 0.0200 ± 0.0010" in default
    assert f"{RANDOM}: 0.1000" in default
    less, more, open_ = re.split("More: |Not significantly different: ", changes)
    assert "doubly robust log loss, all logged impressions (-0.0100 ± 0.0040)" in less
    assert "CVR log loss, clicked impressions (+0.0100" in more
    assert "CTCVR AUC" in open_
    assert "CVR log loss, all impressions (oracle): 0.0010" in bound


def test_the_report_has_every_criterion_and_marks_what_cannot_be_had() -> None:
    text = markdown(summary(outcomes(candidate_sets()), AUC, 0.95), AUC, 0.95, "About it.")
    assert "## Regret in CVR log loss, all impressions (oracle)" in text
    assert "| *CVR log loss, all impressions (oracle)*" in text
    assert text.count("| CVR AUC, clicked impressions ") == 2  # regret and rank correlation
    assert "95%" in text
    assert "About it." in text


# --- the report


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a study of one method on two draws, with made-up records."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"))
    folder = tmp_path / "studies" / "s"
    folder.mkdir(parents=True)
    content: dict[str, Any] = {
        "methods": [PLAIN],
        "sensitivity": {"dataset": "d", "factors": {"k": [2]}},
        "replicates": 2,
        "selection": {"candidates": 2},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    protocol = Params.read().protocol.identity
    for setting, replicate in product(("base", "k-2"), range(2)):
        runs = tmp_path / "results/studies/s/runs" / setting / PLAIN
        write_sealed(runs / "task.json", {"protocol": protocol})
        for number, value in enumerate((0.6, 0.7)):
            epoch = {
                "criteria": {AUC: value},
                "bounds": {TRUE: -value},
                "targets": {TRUE: 1 - value},
            }
            path = runs / f"candidates/{replicate}-{number:04d}.json"
            write_sealed(path, {"method": PLAIN, "epochs": [epoch, epoch]})
    return tmp_path / "results/studies/s"


def test_it_has_table_text_and_pictures(study: Path) -> None:
    assert main(["report", "--study", "s"]) == 0
    rows = list(csv.DictReader((study / "regret.csv").open(encoding="utf-8")))
    assert {row["setting"] for row in rows} == {"base", "k-2", ALL}
    assert {row["regret"] for row in rows if row["criterion"] == AUC} == {"0"}
    text = (study / "regret.md").read_text(encoding="utf-8")
    assert "0.0500" in text
    assert "2 hyper-parameter settings × 12 epochs; 2 replicates." in text
    for name in ("regret", "correlation"):
        assert "CVR AUC" in (study / f"plots/{name}.svg").read_text(encoding="utf-8")


def test_what_is_missing_or_out_of_date_is_one_sentence(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = study / "runs/base" / PLAIN / "task.json"
    edited = task.parent / "candidates/0-0000.json"
    text = edited.read_text(encoding="utf-8")
    edited.write_text(text.replace("0.6", "0.9"), encoding="utf-8")
    assert main(["report", "--study", "s"]) == 1
    path = edited.relative_to(study.parents[2])
    assert f"error: {path} is not what was written; run" in capsys.readouterr().err
    edited.write_text(text, encoding="utf-8")
    write_sealed(task, {"protocol": {}})
    assert main(["report", "--study", "s"]) == 1
    assert "is out of date: its protocol is not the study's" in capsys.readouterr().err
    (task.parent / "candidates/0-0001.json").unlink()
    assert main(["report", "--study", "s"]) == 1
    assert "holds 1 of 2 candidates; run `python -m benchmark run" in capsys.readouterr().err
