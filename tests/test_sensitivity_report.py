"""The report of a sensitivity study: ranks, verdicts and gaps, as the records have them."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.fake_sensitivity import (
    BIASED,
    DIVERGED,
    FRAIL,
    LATE,
    METHODS,
    PLAIN,
    STUDY,
    TWIN,
    write_study,
)
from scipy import stats

from benchmark import registry
from benchmark.cli import main
from benchmark.files import read_json, write_json
from benchmark.references import widened
from benchmark.reporting.studies.sensitivity import effects
from benchmark.reporting.studies.sensitivity.comparison import Comparison, alike, read
from benchmark.reporting.studies.sensitivity.lines import named, panels
from benchmark.reporting.studies.sensitivity.report import (
    by_method,
    by_setting,
    conditions,
    findings,
    left_out,
)
from benchmark.studies import Workspace

SETTINGS = ["base", "wind-0", "wind-2", "rain-0.5", "rain-3"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with a study's report; for reading only."""
    root = write_study(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main(["report", "--study", STUDY]) == 0
    return root


@pytest.fixture
def found(project: Path, monkeypatch: pytest.MonkeyPatch) -> Comparison:
    monkeypatch.chdir(project)
    return compared()


def compared() -> Comparison:
    return read(Workspace(STUDY))


def test_methods_are_ranked_where_all_settings_have_them(found: Comparison) -> None:
    auc, bias = found.headline
    assert set(found.titles) == set(METHODS)
    assert set(found.everywhere) == {PLAIN, BIASED, TWIN}
    assert list(found.ranks[auc].columns) == SETTINGS
    assert found.ranks[auc]["base"].to_dict() == {BIASED: 1.5, TWIN: 1.5, PLAIN: 3}
    assert found.ranks[auc]["wind-2"].to_dict() == {PLAIN: 1, BIASED: 2.5, TWIN: 2.5}
    assert found.ranks[bias]["base"].to_dict() == {TWIN: 1, PLAIN: 2, BIASED: 3}


def test_which_method_when_is_an_estimate_with_an_interval(found: Comparison) -> None:
    auc, _ = found.headline
    shown = effects.table(found, auc).set_index("Method").loc[found.titles[BIASED]]
    gains = np.array([0.02, 0.02, -0.02, 0.02, 0.02])  # of any replicate, hence not shrunken
    half = stats.t.ppf(0.975, 4) * stats.sem(gains)
    assert shown["Mean effect"] == f"+0.0120 ± {half:.4f}"
    assert shown["Worst in"] == "wind 2: -0.0200 [-0.0200, -0.0200]"
    assert shown["Settings above 0, below 0"] == "4, 1 of 5"
    assert set(effects.frame(found)["method"]) == {BIASED, TWIN}
    assert not effects.effects(replace(found, reference=LATE), auc)
    assert effects.finding(replace(found, reference=LATE), auc) is None
    assert effects.finding(found, auc) in findings(found)
    plain = found.titles[PLAIN]
    assert effects.finding(found, auc) == (
        f"Against {plain} by CVR AUC: 0 of 2 methods are better on average over the settings and 0 "
        f"worse. They do worst against {plain} with wind 2 (0 better, 2 worse) and best with base "
        "(2 better, 0 worse), by intervals that are not corrected for the number of methods."
    )


def test_effects_are_also_over_the_reference_of_equal_capacity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which here is a copy of the reference, so that the means are the same."""
    write_study(tmp_path)
    for setting in SETTINGS:
        runs = tmp_path / "results/studies" / STUDY / "runs" / setting
        shutil.copytree(runs / PLAIN, runs / widened(PLAIN, 9))
    monkeypatch.chdir(tmp_path)
    found = compared()
    auc, _ = found.headline
    rows = effects.effects(found, auc)
    assert [row.matched for row in rows] == [row.mean for row in rows]
    equal = "equal capacity, of 2 methods that have one, 0 are better and 0 worse."
    assert f"Against a {found.titles[PLAIN]} of {equal}" in str(effects.finding(found, auc))
    shown = effects.table(found, auc)
    assert shown[effects.EQUAL].tolist() == shown["Mean effect"].tolist()
    one = effects.frame(found)
    assert one["matched_low"].tolist() == one["mean_low"].tolist()


def test_noisy_effects_are_shrunken_towards_their_mean(found: Comparison) -> None:
    _, bias = found.headline
    for effect in effects.effects(found, bias):
        own = effect.estimate
        assert own.retained.max() < 1
        off = np.abs(own.effects - own.mean) - np.abs(effect.raw - own.mean)
        assert (off <= 1e-12).all()
    table = effects.table(found, bias)
    assert set(table["Best in"]) == {"no difference between settings found"}
    assert set(table["Worst in"]) == {"–"}


def test_the_report_shows_effects_and_the_ranking_over_all_blocks(project: Path) -> None:
    results = project / "results/studies" / STUDY
    text = (results / "which_method_when.md").read_text(encoding="utf-8")
    assert "## Effect by setting: CVR AUC, all impressions (oracle)" in text
    assert "| Weighted²" in text.split("## Effect by setting")[1]
    page = (results / "index.html").read_text(encoding="utf-8")
    assert "<h2>Which method when, as an estimate</h2>" in page
    anchors = set(re.findall(r'href="#([^"]+)"', page))
    assert "all-effects" in anchors
    assert anchors <= set(re.findall(r'id="([^"]+)"', page))
    rows = pd.read_csv(results / "effects.csv")
    assert len(rows) == 2 * 2 * len(SETTINGS)
    assert {path.stem for path in (results / "plots").rglob("effects_*.svg")} == {
        "effects_cvr_auc_oracle", "effects_cvr_bias_oracle",
    }  # fmt: skip


def test_the_base_stands_among_the_levels_of_every_factor(found: Comparison) -> None:
    assert found.levels("wind") == {0: "wind-0", 1.0: "base", 2: "wind-2"}
    assert list(found.levels("rain")) == [0.5, 1, 3]


def test_each_setting_has_its_best_and_what_does_not_differ_from_it(
    found: Comparison,
) -> None:
    auc, bias = found.headline
    by_auc = by_setting(found, auc).set_index(["Factor", "Level"])
    titles = found.titles
    assert by_auc.loc[("base", ""), "Best"].split(" 0.")[0] in {titles[BIASED], titles[TWIN]}
    assert by_auc.loc[("base", ""), "Not significantly different"].startswith("1 of 3: ")
    worse = f"{titles[PLAIN]} worse by 0.0200 ± 0.0000: significant"
    assert by_auc.loc[("base", ""), "Baseline"] == worse
    assert by_auc.loc[("wind", "2"), "Baseline"] == f"{titles[PLAIN]} is the best"
    assert by_auc.loc[("wind", "2"), "Not significantly different"] == "0 of 2"
    assert by_auc.loc[("rain", "3"), "Best"].startswith(titles[LATE])
    by_bias = by_setting(found, bias).set_index(["Factor", "Level"])
    assert by_bias.loc[("base", ""), "Best"] == f"{titles[TWIN]} 0.0100 ± 0.0025"
    assert by_bias.loc[("base", ""), "Not significantly different"] == f"1 of 3: {titles[PLAIN]}"
    assert by_bias.loc[("all settings", "mean"), "Best"] == f"{titles[TWIN]} 0.0100 ± 0.0000"


def test_the_mean_over_settings_is_tested_over_settings_which_share_no_draw(
    found: Comparison,
) -> None:
    (auc, bias), settings = found.headline, list(found.tables)
    for metric in (auc, bias):
        overall = found.overall(metric)
        assert list(overall) == sorted(overall, key=lambda method: overall[method].mean())
        for method, costs in overall.items():
            cells = [found.cell(setting, method, metric) for setting in settings]
            means = [metric.measure.cost(cell.values).mean() for cell in cells if cell]
            np.testing.assert_allclose(costs, means)
            assert len(costs) == len(settings)


def test_a_method_says_how_its_rank_varies_and_how_often_it_is_among_the_best(
    found: Comparison,
) -> None:
    table = by_method(found).set_index("Method")
    ranks, share = "Mean of the settings' ranks (range), CVR AUC", "Among the best, CVR AUC"
    assert len(table) == len(METHODS)
    assert table.loc[found.titles[PLAIN], ranks] == "2.6 (1–3)"
    assert table.loc[found.titles[PLAIN], share] == "1 of 5"
    assert table.loc[found.titles[LATE], [ranks, share]].tolist() == ["–", "2 of 2"]


def test_what_is_missing_is_said_with_the_reason(found: Comparison) -> None:
    assert left_out(found) == [
        f"{found.titles[LATE]}, in 3 of 5 settings: needs rain, which this log lacks",
        f"{found.titles[FRAIL]}, in 1 of 5 settings: failed: replicate 0: {DIVERGED}",
    ]


def test_the_text_claims_no_more_than_the_records_say(found: Comparison) -> None:
    text = " ".join(conditions(found, Workspace(STUDY).params))
    assert "Nothing was tuned" in text
    assert "3 replicates" in text
    assert "corrected by Holm's method for the number of methods" in text
    assert "unequal terms" in text
    said = " ".join(findings(found))
    assert "averaged over the 5 settings" in said
    assert "in 1 of 5 settings by CVR AUC, in 5 of 5 settings by absolute CVR bias" in said


def test_results_of_other_code_are_named_once(
    found: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def notes() -> list[str]:
        lines = conditions(found, Workspace(STUDY).params)
        return [line for line in lines if line.startswith("Fitted by other code")]

    monkeypatch.setattr(registry, "ROOT", tmp_path)
    assert notes() == []
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / f"{PLAIN}.py").write_text("VALUE = 1\n", encoding="utf-8")
    [table, *_] = found.tables.values()
    [title] = [task.title for task in table.results.tasks if task.method == PLAIN]
    assert notes() == [f"Fitted by other code than that of this checkout: {title}."]


def test_methods_that_stand_out_are_found_in_the_data(found: Comparison) -> None:
    settings = list(found.levels("wind").values())
    roles = named(found, settings)
    assert roles[PLAIN].startswith("baseline")
    assert "best mean absolute CVR bias" in roles[TWIN]
    assert FRAIL not in roles  # it diverged in one of these settings
    assert "worst mean CVR AUC" in named(found, ["base", "wind-0"])[FRAIL]
    titles = [panel.title for panel in panels(found, settings)]
    assert "CVR bias, all impressions (oracle) →0" in titles
    assert "absolute CVR bias, all impressions (oracle) ↓" in titles
    assert titles[-2:] == ["rank by CVR AUC, of 3", "rank by absolute CVR bias, of 3"]


def test_files_hold_every_number_and_every_picture(project: Path) -> None:
    results = project / "results" / "studies" / STUDY
    table = pd.read_csv(results / "sensitivity.csv")
    assert set(table.setting) == set(SETTINGS)
    one = table[(table.setting == "wind-2") & (table.method == PLAIN)].set_index("metric")
    assert one.loc["cvr_auc_oracle", ["mean", "rank"]].tolist() == [0.7, 1]
    assert one.loc["cvr_auc_oracle", "replicates"] == "0.699 0.7 0.701"
    assert one.loc["cvr_bias_oracle", "mean_cost"] == pytest.approx(0.02)
    pictures = sorted(path.relative_to(results / "plots") for path in results.rglob("*.svg"))
    assert list(map(str, pictures)) == [
        "effects_cvr_auc_oracle.svg", "effects_cvr_bias_oracle.svg",
        "rain/levels.svg", "ranking_cost.svg", "ranking_cvr_auc_oracle.svg",
        "ranking_cvr_bias_oracle.svg",
        "ranks_cvr_auc_oracle.svg", "ranks_cvr_bias_oracle.svg",
        "wind/levels.svg",
    ]  # fmt: skip
    for path in pictures:
        assert ET.parse(results / "plots" / path).getroot().tag.endswith("svg")
    page = (results / "index.html").read_text(encoding="utf-8")
    assert "How hard it &lt;blows&gt;." in page
    assert page.count("<figure") == 9
    text = (results / "which_method_when.md").read_text(encoding="utf-8")
    assert "## By setting: absolute CVR bias, all impressions (oracle)" in text
    assert "@inproceedings" in (results / "references.bib").read_text(encoding="utf-8")


def test_ties_do_not_depend_on_the_order_of_methods() -> None:
    costs = {"a": np.array([1.0, 2.0]), "b": np.array([1.0, 2.0]), "c": np.array([2.0, 3.0])}
    assert alike(costs, 0.95) == ["a", "b"]


def test_a_study_of_other_data_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_study(tmp_path))
    for path in Path(Workspace(STUDY).processed).rglob("schema.json"):
        write_json(path, read_json(path) | {"fingerprint": "of another processor"})
    with pytest.raises(FileNotFoundError, match="run on other data than are now prepared"):
        compared()


def test_a_study_in_which_no_method_is_everywhere_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_study(tmp_path))
    workspace = Workspace(STUDY)
    for method, setting in zip((PLAIN, BIASED, TWIN), SETTINGS, strict=False):
        shutil.rmtree(workspace.runs / setting / method)
    assert main(["report", "--study", STUDY]) == 0
    text = (workspace.results / "which_method_when.md").read_text(encoding="utf-8")
    assert "No method has CVR AUC in every setting." in text
    assert "in 1 of 5 settings: not run yet" in text
    assert [path.name for path in (workspace.results / "plots").glob("*.svg")] == []


def test_a_setting_without_data_and_a_study_without_runs_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write_study(tmp_path))
    schema = Workspace(STUDY).processed / "rain-3" / "schema.json"
    schema.unlink()
    assert main(["report", "--study", STUDY]) == 1
    assert f"{schema} is missing" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "results")
    assert main(["report", "--study", STUDY]) == 1
    assert "holds no run of what params.yaml names" in capsys.readouterr().err


def test_a_factor_must_have_a_number_in_the_base_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write_study(tmp_path))
    path = Workspace(STUDY).processed / "base" / "schema.json"
    schema = read_json(path)
    write_json(path, schema | {"options": schema["options"] | {"rain": None}})
    assert main(["report", "--study", STUDY]) == 1
    assert "factor rain is None in the base setting" in capsys.readouterr().err
