"""A method against all others: who wins follows from the paired fits, what failed is told."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.fake_runs import CLICKS, HEADLINE, METHODS, NEEDS, ORACLE, TITLES, edit, write_project
from scipy import stats

from benchmark.cli import main
from benchmark.execution.archive import pack
from benchmark.reporting import versus
from benchmark.reporting.statistics import holm
from benchmark.reporting.versus import Contest, Matchup
from benchmark.studies import Workspace

OWN, REPLICATES = METHODS[2], 6


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"), REPLICATES, 6)


@pytest.fixture
def matchups(published: Path, monkeypatch: pytest.MonkeyPatch) -> list[Matchup]:
    monkeypatch.chdir(published)
    return versus.compare(OWN, Workspace())


def values(contest: Contest, matchup: Matchup) -> dict[str, np.ndarray]:
    tasks = matchup.results.reported
    found = {task.method: task.values(contest.metric.name) for task in tasks}
    return {method: array for method, array in found.items() if array is not None}


def test_duels_are_paired_tests_corrected_for_all_others(matchups: list[Matchup]) -> None:
    contest = matchups[0].headline[0]
    assert contest.metric.name == HEADLINE[0]
    by_method = values(contest, matchups[0])
    own = by_method.pop(OWN)
    p_values = {m: stats.ttest_rel(own, other).pvalue for m, other in by_method.items()}
    adjusted = dict(zip(p_values, holm(np.array([*p_values.values()]), 0.05)[1], strict=True))
    assert {duel.other.method for duel in contest.duels} == by_method.keys()
    for duel in contest.duels:
        gain = own - by_method[duel.other.method]
        assert duel.effect == pytest.approx(gain.mean() / gain.std(ddof=1))
        assert duel.gain.difference.interval.mean == pytest.approx(gain.mean())
        assert duel.gain.difference.adjusted == pytest.approx(adjusted[duel.other.method])
    wins, ties, losses = contest.counts
    assert wins == sum(p < 0.05 for m, p in adjusted.items() if own.mean() > by_method[m].mean())
    assert losses == sum(p < 0.05 for m, p in adjusted.items() if own.mean() < by_method[m].mean())
    assert wins + ties + losses == 5
    assert min(wins, losses) > 0, "the made-up methods differ"


def test_a_lower_loss_is_a_win(matchups: list[Matchup]) -> None:
    [contest] = [c for c in matchups[0].others if c.metric.name == "cvr_logloss_oracle"]
    by_method = values(contest, matchups[0])
    for duel in contest.duels:
        lower = by_method[OWN].mean() < by_method[duel.other.method].mean()
        assert (duel.gain.difference.interval.mean > 0) == lower


def test_what_failed_and_why_is_told(matchups: list[Matchup]) -> None:
    oracle, clicks = matchups
    assert oracle.reason is None
    assert not oracle.failures
    assert clicks.reason == NEEDS
    assert clicks.failures[0] == f"{TITLES[2]}: {NEEDS}"
    assert clicks.failures[1] == f"{TITLES[5]} is not compared: {NEEDS}"
    assert not clicks.headline


def test_the_page_and_the_terminal_show_every_duel(
    published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(published)
    assert main(["compare", OWN]) == 0
    shown = capsys.readouterr().out
    page = (published / "results/comparisons" / f"{OWN}.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"https?:", page)
    assert "<Clipped>" not in page, "titles are escaped"
    for title in (TITLES[0], TITLES[1], TITLES[3]):
        assert title in shown
        assert title in page
    assert "Median of others" in shown
    assert f"{TITLES[2]} against all others: Funnel" in shown
    assert f"No comparison: {NEEDS}" in shown
    assert "Effect: the mean of Δ over" in " ".join(shown.split()), "columns are explained"
    assert re.search(
        r"CVR AUC, all impressions \(oracle\) ↑: .*; \d wins?, \d ties?, \d loss(es)?", shown
    )


def test_a_method_that_params_do_not_name_is_compared_with_those_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_project(tmp_path, 3, 4))
    params = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    params["methods"] = METHODS[:3]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    oracle = versus.compare(METHODS[3], Workspace())[0]
    assert {duel.other.method for duel in oracle.headline[0].duels} == set(METHODS[:3])


def test_published_records_that_are_not_here_are_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_project(tmp_path, 2, 3))
    pack(Workspace())
    for path in (tmp_path / "results/runs").glob(f"*/{METHODS[0]}/**/*.json"):
        path.unlink()
    oracle = versus.compare(METHODS[1], Workspace())[0]
    assert METHODS[0] in {duel.other.method for duel in oracle.headline[0].duels}


def test_published_records_alone_are_enough_to_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_project(tmp_path, 2, 3))
    before = versus.plain(versus.compare(METHODS[1], Workspace()))
    pack(Workspace())
    shutil.rmtree("results/runs")
    shutil.rmtree("data")
    assert versus.plain(versus.compare(METHODS[1], Workspace())) == before


def test_prepared_data_are_believed_before_the_schema_of_restored_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_project(tmp_path, 2, 3))
    pack(Workspace())
    shutil.rmtree("results/runs")
    edit(Path("data/processed", ORACLE, "schema.json"), fingerprint="others")
    oracle, _ = versus.compare(METHODS[1], Workspace())
    assert oracle.reason is not None
    assert "other data than are now prepared" in oracle.reason


def test_a_method_without_fits_is_one_sentence(
    published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(published)
    assert main(["compare", "esmm"]) == 1
    error = capsys.readouterr().err
    assert "error: no fit of 'esmm' is on record" in error
    assert "a study that has it, by --study NAME" in error
    assert f"python -m benchmark run {ORACLE} esmm" in error


@pytest.mark.parametrize(
    ("name", "said"), [("m1x", "did you mean 'm1'?"), ("m1, m2", "known: "), ("", "known: ")]
)
def test_what_is_no_method_is_not_compared(
    name: str,
    said: str,
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(published)
    assert main(["compare", name]) == 1
    assert capsys.readouterr().err.startswith(f"error: {name!r} is no method; {said}")


def test_methods_that_lack_the_same_are_named_together(matchups: list[Matchup]) -> None:
    reasons = matchups[1].results.tasks[5].excluded
    clicks = versus.compare(METHODS[0], Workspace())[1]
    assert clicks.failures == (f"{TITLES[2]}, {TITLES[5]} are not compared: {reasons}",)


def test_trials_that_diverged_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_project(tmp_path, 2, 2))
    trial = tmp_path / "results/runs" / CLICKS / METHODS[0] / "trials/0001-0.json"
    edit(trial, diverged="nan", value=None)
    clicks = versus.compare(METHODS[0], Workspace())[1]
    assert clicks.failures == (f"{TITLES[0]}: 1 of 4 trials diverged: nan",)


def test_results_of_other_code_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_project(tmp_path, 2, 2))
    path = tmp_path / "results/runs" / ORACLE / METHODS[1] / "task.json"
    edit(path, adopted={"code": "0" * 64, "fits": 3})
    oracle, clicks = found = versus.compare(METHODS[0], Workspace())
    [note] = oracle.notes
    assert TITLES[1] in note
    assert not clicks.notes
    assert note in versus.plain(found)
    assert TITLES[1] in versus.write(METHODS[0], found, Workspace()).read_text("utf-8")
