"""Tables answer whether a method debiases, by how much, and how sure that is."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.fake_runs import ORACLE, schema
from scipy import stats

from benchmark.config import Params
from benchmark.registry import ROOT
from benchmark.reporting import latex, leaderboard, page
from benchmark.reporting.metric import Metric
from benchmark.reporting.published import publish
from benchmark.reporting.records import DatasetResults, Fit, Provenance, Task
from benchmark.reporting.table import Row, Table, build

AUC, LOSS = "cvr_auc_oracle", "cvr_logloss_oracle"
SPACE, CLICKED = "cvr_oracle", "cvr_auc_clicked"
GAINS = {"plain": 0.0, "good": 0.02, "same": 0.0, "bad": -0.02, "vague": 0.003}
SPREADS = {"plain": 0.0, "good": 0.004, "same": 0.001, "bad": 0.004, "vague": 0.03}
VALID = {"bad": 0.6}  # the selection metric on the validation splits; elsewhere 0.5
DRAWS = 12


def params(**changes: Any) -> Params:
    found = Params.read(ROOT / "params.yaml")
    board = {"headline": (AUC, LOSS), "columns": (AUC, LOSS), "reference": "plain"} | changes
    return found.model_copy(update={"leaderboard": found.leaderboard.model_copy(update=board)})


def fits(
    name: str, draws: int, *, positives: float = 500, lift: float = 0.0, redrawn: bool = True
) -> tuple[Fit, ...]:
    worlds = np.random.default_rng(0).normal(0.7, 0.03, draws)
    own = np.random.default_rng([*name.encode()]).normal(GAINS[name] + lift, SPREADS[name], draws)
    return tuple(
        Fit(
            method=name,
            hyperparameters={"lift": lift},
            seed=place,
            value=VALID.get(name, 0.5),
            data=f"draw-{place}" if redrawn else "",
            parameters={"plain": 1000, "good": 2000, "same": 1050, "bad": 2100}.get(name, 9000),
            test={AUC: value, LOSS: 1 - value, "cvr_ieb_oracle": 0.0},
            counts={SPACE: {"rows": 2000, "positives": positives}},
        )
        for place, value in enumerate((worlds + own).tolist())
    )


def table(
    draws: int = DRAWS,
    defaults: dict[str, float] | None = None,
    changes: dict[str, Any] | None = None,
    widened: str = "",
    **options: Any,
) -> Table:
    """Return the table of all methods; ``defaults`` by how much the default ones are better.

    ``widened`` names the method whose fits stand in for those of a widened reference.
    """
    lifts = defaults or {}
    tasks = tuple(
        Task(
            name, provenance(name), (), fits(name, draws, **options), None,
            fits(name, draws, lift=lifts[name], **options) if name in lifts else (),
        )
        for name in GAINS
    )  # fmt: skip
    more = tuple(task for task in tasks if task.method == widened)
    return build(DatasetResults(ORACLE, schema(ORACLE), tasks, more), params(**(changes or {})))


def provenance(name: str) -> Provenance:
    return Provenance(
        method=name, title=name.title(), citation="", protocol={"selection_metric": CLICKED},
        data="", code="", versions={}, python="", device="cpu", key="", commit=None,
    )  # fmt: skip


def row(found: Table, name: str) -> Row:
    return next(row for row in found.rows if row.task.method == name)


def test_the_difference_to_the_reference_is_paired_and_has_its_interval() -> None:
    found = table()
    gain = np.array([f.test[AUC] - g.test[AUC] for f, g in pairs("good")])
    low, high = stats.t.interval(0.95, DRAWS - 1, gain.mean(), stats.sem(gain))
    text = row(found, "good").comparison["Δ to Plain"]
    assert text == f"+{gain.mean():.4f} ± {(high - low) / 2:.4f}"
    unpaired = np.std([f.test[AUC] for f, _ in pairs("good")])
    assert unpaired > 3 * gain.std()
    assert row(found, "plain").comparison["Δ to Plain"] == "–"


def pairs(name: str, base: str = "plain") -> list[tuple[Fit, Fit]]:
    return list(zip(fits(name, DRAWS), fits(base, DRAWS), strict=True))


def test_each_verdict_says_one_thing() -> None:
    found = table()
    verdicts = {name: row(found, name).comparison["Verdict"] for name in GAINS}
    assert verdicts == {
        "plain": "–", "good": "better", "same": "equivalent", "bad": "worse", "vague": "undecided",
    }  # fmt: skip


def test_lower_costs_are_gains_and_only_metrics_with_a_margin_can_be_equivalent() -> None:
    found = table(changes={"headline": (LOSS,)})
    assert row(found, "good").comparison["Δ to Plain"].startswith("+0.02")
    assert row(found, "same").comparison["Verdict"] == "undecided"
    assert not any("equivalent" in note for note in found.notes)


def test_verdicts_are_corrected_for_the_number_of_methods() -> None:
    cells = [
        cell.gain.difference
        for name in GAINS
        if (cell := row(table(), name).cells[Metric.parse(AUC)]) and cell.gain
    ]
    p_values = np.array([cell.p_value for cell in cells])
    factors = np.argsort(np.argsort(p_values))
    expected = np.minimum(1, p_values * (len(cells) - factors))
    assert [cell.adjusted for cell in cells] == pytest.approx(
        [max(e for e, p in zip(expected, p_values, strict=True) if p <= own) for own in p_values]
    )


def test_ranks_have_intervals_and_the_table_says_what_its_design_resolves() -> None:
    found = table()
    texts = [row(found, name).comparison["Rank"] for name in ("good", "bad")]
    assert texts[0].startswith("1 [1–")
    assert texts[1].startswith("5 [")
    assert texts[1].endswith("–5]")
    gains = [[f.test[AUC] - g.test[AUC] for f, g in pairs(n)] for n in GAINS if n != "plain"]
    spread = np.median(np.std(gains, axis=1, ddof=1))
    note = next(note for note in found.notes if "80 % power" in note)
    single, corrected = map(float, re.findall(r"0\.\d{4}", note))
    assert single == pytest.approx(0.8868 * spread, abs=1e-4)  # 12 pairs, noncentral t
    assert corrected > single


def test_only_a_variant_of_the_reference_of_similar_size_is_of_equal_capacity() -> None:
    assert "Δ to Plain of equal capacity" not in table().comparison
    found = table(widened="bad")
    texts = dict(
        zip(
            [row.task.method for row in found.rows],
            found.comparison["Δ to Plain of equal capacity"],
            strict=True,
        )
    )
    assert texts["good"].startswith("+0.039")  # 2000 parameters against 2100
    assert texts["good"].endswith(", better")
    assert "equivalent" in texts["same"]  # 1050 against 1000
    assert (texts["vague"], texts["bad"], texts["plain"]) == ("–", "–", "–")


def test_of_the_references_up_to_a_capacity_the_best_on_the_validation_splits_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def over(valid: float) -> str | None:
        monkeypatch.setitem(VALID, "bad", valid)
        found = table(widened="bad")
        cell = next(row.cells[found.headline[0]] for row in found.rows if row.task.method == "good")
        return cell.matched.over if cell and cell.matched else None

    assert (over(0.6), over(0.4)) == ("Bad", "Plain")


def test_a_method_is_also_compared_with_the_reference_of_its_own_family() -> None:
    assert "Δ within the family" not in table().comparison
    found = table(changes={"own_references": {"good": "bad", "vague": "absent"}})
    gain = np.array([f.test[AUC] - g.test[AUC] for f, g in pairs("good", "bad")])
    low, high = stats.t.interval(0.95, DRAWS - 1, gain.mean(), stats.sem(gain))
    column = dict(zip(GAINS, (row(found, n).comparison for n in GAINS), strict=True))
    text = f"+{gain.mean():.4f} ± {(high - low) / 2:.4f} to Bad, better"
    assert column["good"]["Δ within the family"] == text
    others = {column[name]["Δ within the family"] for name in GAINS if name != "good"}
    assert others == {"–"}
    assert any("Δ within the family" in note for note in found.notes)


def test_the_default_stands_beside_the_tuned_value_with_the_verdict_on_tuning() -> None:
    found = table(defaults={"good": -0.01, "same": 0.0, "bad": 0.01})
    assert row(found, "good").comparison["Gain by tuning"] == "+0.0100 ± 0.0000, better"
    assert row(found, "bad").comparison["Gain by tuning"].endswith(", worse")
    assert row(found, "same").comparison["Gain by tuning"] == "–"
    assert row(found, "same").comparison["Default"] != "–"
    assert any("Default:" in note for note in found.notes)
    assert "Default" not in table().comparison


def test_few_positives_are_marked_and_never_bold() -> None:
    auc = Metric.parse(AUC)
    for positives, few in ((0, True), (29, True), (30, False)):
        found = table(positives=positives)
        cells = [cell for row in found.rows if (cell := row.cells[auc])]
        assert {cell.few for cell in cells} == {few}
        assert any(cell.best for cell in cells) != few
        assert ("†" in cells[0].text()) == few
        assert any("fewer than 30 positives" in note for note in found.notes) == few
        assert found.facts["Positives"] == f"CVR, all impressions (oracle) {positives} of 2,000"


def test_the_table_says_what_a_replicate_varies() -> None:
    assert "fresh draw of the data and of the initial weights" in " ".join(table().notes)
    assert "not that of tuning or of the data" in " ".join(table(redrawn=False).notes)
    assert any("winner's curse" in note for note in table().notes)


def test_one_replicate_allows_no_test() -> None:
    found = table(1)
    assert set(found.comparison) == {"Δ to Plain", "Verdict"}
    assert set(found.comparison["Verdict"]) == {"undecided", "–"}
    assert not any("power" in note or "Rank" in note for note in found.notes)


def test_a_reference_without_results_is_named() -> None:
    found = table(changes={"reference": "absent"})
    assert "Δ" not in "".join(found.comparison)
    assert any("reference method 'absent' has no result" in note for note in found.notes)
    assert not any("reference" in note for note in table(changes={"reference": None}).notes)


def test_the_comparison_comes_first_and_details_on_demand(tmp_path: Path) -> None:
    results = table(defaults={"good": -0.01}).results
    leaderboard.write([build(results, params())], params(), tmp_path)
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    head = next(line for line in text.splitlines() if line.startswith("| Method"))
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "Method", "CVR AUC, all impressions (oracle) ↑", "Δ to Plain", "Rank", "Verdict", "Default",
        "Gain by tuning", "CVR log loss, all impressions (oracle) ↓",
    ]  # fmt: skip
    assert text.index("<details>") > text.index("80 % power")
    tex = (tmp_path / "leaderboard.tex").read_text(encoding="utf-8")
    assert r"$\Delta$ to Plain" in tex
    assert not re.search("[Δ–†α]", tex)
    for body in re.findall(r"\\midrule\n(.*?)\\bottomrule", tex, re.DOTALL):
        assert len({line.count("&") for line in body.strip().splitlines()}) == 1
    assert re.search(r"\$\\mathbf\{0\.\d{4}_\{\\pm 0\.\d{4}\}\}\$", tex)


def test_the_page_shows_the_comparison_above_the_details(tmp_path: Path) -> None:
    found = table()
    written = publish([found], [], params(), {}, {}, title="T", version="1", citation="@misc{t}")
    page.write(written, [found], page.Parts({found.results.dataset: []}), tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    static = text.split('class="static"')[1].split("</details>")[0]
    head, details = static.split("<details><summary>All metrics and costs")
    for part, columns in ((head, 5), (details, 6)):
        lines = re.findall(r'<tr><th scope="row">.*?</tr>', part, re.DOTALL)
        assert {line.count("<td>") for line in lines} == {columns}
        assert len(lines) == len(GAINS)
    assert row(found, "good").comparison["Δ to Plain"] in head
    assert '<th scope="col">Verdict</th>' in head


def test_the_file_of_means_has_all_that_the_table_says(tmp_path: Path) -> None:
    results = table(defaults={"good": -0.01}, widened="bad").results
    leaderboard.write([build(results, params())], params(), tmp_path)
    text = (tmp_path / "leaderboard.csv").read_text(encoding="utf-8")
    rows = {(r["method"], r["metric"]): r for r in csv.DictReader(io.StringIO(text))}
    assert len(rows) == 2 * len(GAINS)
    good = rows["good", AUC]
    assert float(good["gain_low"]) < float(good["gain"]) < float(good["gain_high"])
    assert float(good["gain_p"]) <= float(good["gain_p_holm"]) < 0.05
    assert (good["verdict"], good["matched_reference"]) == ("better", "Bad")
    assert (good["rank"], good["tuning_verdict"], good["positives"]) == ("1", "better", "500")
    assert rows["good", LOSS]["rank"] == rows["plain", AUC]["gain"] == ""


def test_a_long_latex_table_goes_on_in_further_floats_with_its_notes_outside_of_captions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latex, "HEIGHT", 2)
    found = table()
    text = latex.document([found])
    bodies = re.findall(r"\\midrule\n(.*?)\\bottomrule", text, re.DOTALL)
    assert {body.count("\n") for body in bodies} <= {1, 2}
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(labels) == len(set(labels)) == len(bodies)
    for part in ("", "-cost", "-metrics-1"):
        own = re.escape(f"tab:{found.results.dataset}{part}")
        numbers = [n for n, name in enumerate(labels) if re.fullmatch(rf"{own}(-part\d)?", name)]
        assert sum(bodies[number].count("\n") for number in numbers) == len(GAINS)
    assert all(len(caption) < 300 for caption in re.findall(r"\\caption\{(.*)\}\n", text))
    assert all(latex.escape(note) in text for note in found.notes)


def test_brackets_and_daggers_are_latex() -> None:
    found = table(2, positives=3)
    text = latex.document([found])
    assert r"^\dagger" in text
    assert re.search(r"\$0\.\d{4} \[0\.\d{4}, [01]\.\d{4}\]\^\\dagger\$", text)
    assert r"\pm" not in re.sub(r"_\{\\pm [0-9.]+\}|\$\\pm\$", "", text)
