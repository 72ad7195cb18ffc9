"""Tables: honest about spread, origin and what is missing; every number traces to a seed."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.fake_runs import (
    CLICKS,
    METHODS,
    NEEDS,
    ORACLE,
    TITLES,
    bibtex,
    edit,
    tables,
    write_project,
)
from helpers.projects import pictures_of, without_pictures
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark import bibliography, registry
from benchmark.cli import main
from benchmark.config import Params
from benchmark.files import read_json
from benchmark.registry import ROOT
from benchmark.reporting import cards, latex, page
from benchmark.reporting.metric import MEASURES, Metric
from benchmark.reporting.table import duration
from benchmark.sealing import read_sealed, write_sealed


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of three replicates with their leaderboard; for reading only."""
    root = write_project(tmp_path_factory.mktemp("project"), 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        without_pictures(patch)
        assert main(["report"]) == 0
    return root / "results"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project of seven methods and two replicates, to change and to run verbs in."""
    monkeypatch.chdir(tmp_path)
    without_pictures(monkeypatch)
    return write_project(tmp_path, 2, 7)


def excluded(root: Path) -> dict[str, str | None]:
    return {task.method: task.excluded for task in tables(root)[0].excluded}


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_reporting_needs_neither_training_nor_torch() -> None:
    files = (ROOT / "benchmark" / "reporting").rglob("*.py")
    modules = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files)
    assert "benchmark.reporting.studies.sensitivity.report" in modules
    lines = [f"import {name.removesuffix('.__init__')}" for name in modules]
    check = "print([m for m in sys.modules if m.split('.')[0] == 'torch' or 'training' in m])"
    code = "\n".join(["import sys", *lines, check])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_bold_are_the_methods_that_holm_does_not_reject_against_the_best(published: Path) -> None:
    compared = 0
    for table in tables(published.parent):
        for metric in table.metrics:
            cells = [cell for row in table.rows if (cell := row.cells[metric])]
            costs = [metric.measure.cost(cell.values) for cell in cells]
            best = min(costs, key=np.mean)
            others = [cost for cost in costs if cost is not best]
            p_values = [stats.ttest_rel(cost, best).pvalue for cost in others]
            rejected = dict(
                zip(map(id, others), multipletests(p_values, method="holm")[0], strict=True)
            )
            for cell, cost in zip(cells, costs, strict=True):
                assert cell.best != rejected.get(id(cost), False)
                compared += not cell.best
    assert compared > 20


@pytest.mark.parametrize(
    ("measure", "better", "worse"),
    [("auc", 0.7, 0.6), ("gauc", 0.7, 0.6), ("logloss", 0.2, 0.3), ("ece", 0.01, 0.02),
     ("bias", -0.01, 0.02), ("bias", 0.01, -0.02), ("pcoc", 1.1, 0.8), ("pcoc", 0.9, 1.2)],
)  # fmt: skip
def test_every_measure_knows_its_direction(measure: str, better: float, worse: float) -> None:
    cost = MEASURES[measure].cost
    assert cost(np.array([better])) < cost(np.array([worse]))


def test_opposite_biases_of_seeds_do_not_cancel() -> None:
    assert MEASURES["bias"].cost(np.array([-0.1, 0.1])).mean() == pytest.approx(0.1)
    assert np.isfinite(MEASURES["pcoc"].cost(np.array([0.0]))).all()


def test_methods_are_sorted_by_the_first_headline_metric_that_exists(published: Path) -> None:
    oracle, clicks = tables(published.parent)
    assert [metric.name for metric in oracle.headline] == ["cvr_auc_oracle", "cvr_auc_clicked"]
    assert [metric.name for metric in clicks.headline] == ["cvr_auc_clicked"]
    for table in (oracle, clicks):
        means = [cell.interval.mean for row in table.rows if (cell := row.cells[table.headline[0]])]
        assert len(means) >= 8
        assert means == sorted(means, reverse=True)


def test_markdown_says_what_a_reader_must_know(published: Path) -> None:
    text = (published / "leaderboard.md").read_text(encoding="utf-8")
    oracle, clicks = text.split("\n## ")[1:]
    assert oracle.startswith("Funnel With An Oracle [@author2019oracle]\n")
    assert "UNVERIFIED" not in oracle
    assert "> **⚠ UNVERIFIED SOURCE**" in clicks
    for fact in (
        "96,000 train, 32,000 valid, 32,000 test", "4 trials per method; 3 replicates",
        "cpu (x86_64)", "data-of-oracle_log", "0123456789 with uncommitted changes",
        "CVR AUC, clicked impressions, on the validation split", "torch 2.13.0",
    ):  # fmt: skip
        assert fact in oracle
    assert "CVR AUC, all impressions (oracle) ↑" in oracle
    assert "oracle" not in clicks.split("What may be claimed")[0].split("Rows are:")[1]
    assert "paired t-test" in oracle
    assert f"- Robust & <Clipped> (m2) [@author2020m2]: {NEEDS}" in clicks
    assert "**What may be claimed.** The oracle is simulated: the order" in oracle
    assert "selection bias" in oracle
    assert "nothing is measured on impressions without one" in clicks
    details = oracle.split("<details>")[1]
    lines = [line for line in details.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(METHODS)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {14}


def test_mean_and_half_width_trace_to_the_seeds(published: Path) -> None:
    means = {
        (r["dataset"], r["method"], r["metric"]): r for r in rows(published / "leaderboard.csv")
    }
    runs = rows(published / "runs.csv")
    assert len(runs) == 3 * (10 + 8)
    for (dataset, method, metric), row in means.items():
        seeds = [
            float(run[metric])
            for run in runs
            if (run["dataset"], run["method"]) == (dataset, method)
        ]
        assert float(row["mean"]) == pytest.approx(np.mean(seeds), rel=1e-5)
        half_width = (float(row["high"]) - float(row["low"])) / 2
        assert float(row["half_width"]) == pytest.approx(half_width, rel=0.01)
        narrow = np.ptp(seeds) < 0.05 * np.mean(seeds)
        if narrow:
            assert half_width == pytest.approx(stats.sem(seeds) * 4.302653, rel=0.02)
        assert row["verified"] == str(dataset == ORACLE)
    assert len(means) == 10 * 10 + 8 * 6


def test_every_seed_is_on_record_with_its_origin(published: Path) -> None:
    run = rows(published / "runs.csv")[4]
    record = read_json(
        published / "runs" / ORACLE / run["method"] / "default" / f"{run['seed']}.json"
    )
    assert json.loads(run["hyperparameters"]) == record["hyperparameters"]
    assert float(run["cvr_auc_oracle"]) == record["test"]["cvr_auc_oracle"]
    assert (run["key"], run["code"]) == ("key-of-oracle_log-m1", "code-of-m1")
    assert (run["commit"], run["epochs"], run["parameters"]) == ("0123456789abcdef+", "3", "123456")


def test_references_hold_every_entry_once(published: Path) -> None:
    text = (published / "references.bib").read_text(encoding="utf-8")
    keys = bibliography.keys(text)
    assert keys == sorted(set(keys))
    assert len(keys) == len(METHODS) + 2
    assert text.startswith(
        "@inproceedings{author2019click,\n  title = {A {Title} <with> & Signs},\n"
    )
    assert text.count("\n}\n") == len(keys)


def test_one_key_for_two_entries_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "results/runs" / CLICKS / "m3" / "task.json"
    edit(path, citation=bibtex("author2020m3").replace("{2020}", "{2021}"))
    assert main(["report"]) == 1
    message = capsys.readouterr().err
    assert (
        "'author2020m3' stands for different entries in methods/m3.py (run on oracle_log)"
        in message
    )
    assert not (project / "results" / "leaderboard.md").exists()


@pytest.mark.parametrize("citation", ["Smith et al., 2020", "@article{a2020b, title = {open"])
def test_a_citation_that_is_not_bibtex_is_refused(citation: str) -> None:
    with pytest.raises(ValueError, match=r"the citation in methods/x\.py"):
        bibliography.entries(citation, "methods/x.py")


def test_an_empty_citation_has_no_entry() -> None:
    assert bibliography.entries("\n   ", "datasets/x.py") == {}


def test_latex_compiles(published: Path, tmp_path: Path) -> None:
    """As a paper would have it: the tables alone, with an entry per key that they cite."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed, so that no table can be compiled")
    paper = (
        "\\documentclass{article}\\usepackage{booktabs}\n\\begin{document}\n"
        f"\\input{{{published / 'leaderboard.tex'}}}\n\\end{{document}}\n"
    )
    (tmp_path / "paper.tex").write_text(paper, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path, check=False, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 1000
    wide = re.findall(r"Overfull \\hbox \((\d+)", done.stdout)
    assert all(int(points) < 150 for points in wide), "a float is wider than two columns"


def test_latex_has_equal_columns_and_escapes(published: Path) -> None:
    text = (published / "leaderboard.tex").read_text(encoding="utf-8")
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 7
    assert r"Robust \& \textless{}Clipped\textgreater{}~\cite{author2020m2}" in text
    assert r"Multi\_Task" in text
    assert r"Weighted\textsuperscript{2}" in text
    assert r"\textbf{Unverified source.}" in text
    assert "resizebox" not in text
    for columns, body in re.findall(r"tabular}{(lr*)}(.*?)\\bottomrule", text, re.DOTALL):
        lines = body.split(r"\midrule")[1].strip().splitlines()
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(columns) - 1}
        assert len(columns) <= 8
    assert text.count("{") == text.count("}")
    assert latex.escape("\\~^") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}"


def test_one_seed_has_neither_interval_nor_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_project(tmp_path, 1, 3))
    pictures_of(monkeypatch, ORACLE)
    assert main(["report"]) == 0
    text = (tmp_path / "results/leaderboard.md").read_text(encoding="utf-8")
    assert "±" not in text
    assert "One replicate: no interval and no test" in text
    assert {row["half_width"] for row in rows(tmp_path / "results/leaderboard.csv")} == {""}
    for table in tables(tmp_path):
        for metric in table.metrics:
            assert sum(cell.best for row in table.rows if (cell := row.cells[metric])) == 1


def test_a_metric_that_one_method_lacks_is_a_dash(project: Path) -> None:
    for path in (project / "results/runs" / ORACLE / "m4" / "default").glob("*.json"):
        kept = {k: v for k, v in read_json(path)["test"].items() if k != "ctr_auc_impressions"}
        edit(path, test=kept)
    assert main(["report"]) == 0
    text = (project / "results/leaderboard.md").read_text(encoding="utf-8")
    line = next(line for line in text.split("<details>")[1].splitlines() if "Two\\|Tower" in line)
    assert re.search(r"\| +– \|", line)
    assert "gauc" not in {m.name for m in tables(project)[0].metrics}


def test_what_is_not_finished_is_named_not_ranked(project: Path) -> None:
    runs = project / "results/runs" / ORACLE
    shutil.rmtree(runs / "m0")
    (runs / "m1/default/1.json").unlink()
    task = read_json(runs / "m2/task.json")
    edit(runs / "m2/task.json", protocol=task["protocol"] | {"batch_size": 7})
    edit(runs / "m3/task.json", data="other")
    edit(runs / "m4/default/1.json", value=None, diverged="not a number", test={})
    write_sealed(runs / "m5/failed.json", {"reason": "every trial diverged", "lasting": False})
    edit(runs / "m6/default/1.json", data="other")
    found = excluded(project)
    assert found["m0"] == "not run yet"
    assert found["m1"] == "unfinished: 1 of 2 replicates on record; run it again"
    assert "its protocol is not that of params.yaml" in str(found["m2"])
    assert "other data" in str(found["m3"])
    assert found["m4"] == "failed: replicate 1 diverged: not a number"
    assert found["m5"] == "failed: every trial diverged"
    assert found["m6"] == (
        "out of date: replicate 1 was run on other data than are now prepared; run it again"
    )
    assert len(found) == 7
    assert main(["report"]) == main(["show"]) == 0


def test_a_diverged_trial_is_counted(project: Path) -> None:
    record = project / "results/runs" / ORACLE / "m0/trials/0002-0.json"
    shutil.copy(record, record.with_name("0002-1.json"))  # the same on another tuning draw
    edit(record, value=None, diverged="not a number")
    row = next(row for row in tables(project)[0].rows if row.task.method == "m0")
    assert row.costs["Trials"] == "4 (1 diverged)"
    assert [len(trial.fits) for trial in row.task.trials] == [1, 1, 2, 1]


def test_the_best_of_a_search_of_another_length_is_no_result(project: Path) -> None:
    folder = project / "results/runs" / ORACLE
    (folder / "m0/trials/0003-0.json").unlink()
    shutil.copytree(folder / "m1/default", folder / "m1/tuned")
    best = {"part": "tuned", "hyperparameters": {"learning_rate": 0.5}}
    write_sealed(folder / "m1/best.json", best)
    found = {task.method: task.excluded for task in tables(project)[0].excluded}
    assert found["m0"] == "unfinished: 3 of 4 trials on record; run it again"
    assert found["m1"] == (
        "out of date: its best hyper-parameters are those of a longer search; run it again"
    )
    tried = read_sealed(folder / "m1/trials/0002-0.json")
    assert tried is not None
    write_sealed(folder / "m1/best.json", best | {"hyperparameters": tried["hyperparameters"]})
    assert "m1" not in {task.method for task in tables(project)[0].excluded}


def test_a_dataset_that_was_not_prepared_is_listed(project: Path) -> None:
    shutil.rmtree(project / "results/runs" / CLICKS)
    shutil.rmtree(project / "data/processed" / CLICKS)
    assert main(["report"]) == 0
    text = (project / "results/leaderboard.md").read_text(encoding="utf-8")
    assert text.split(f"## {CLICKS}")[1].count("not run yet") == 7


@pytest.mark.parametrize("verb", ["report", "show"])
def test_nothing_on_record_is_one_sentence(
    project: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    shutil.rmtree(project / "results")
    assert main([verb]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: results/runs holds no run of what params.yaml names")
    assert message.count("\n") == 1
    assert not (project / "results").exists()


def test_runs_without_a_schema_are_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "data/processed" / CLICKS / "schema.json").unlink()
    assert main(["report"]) == 1
    assert "schema.json is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is no JSON: "),
        ("[]", "is not what was written; "),
        ('{"seed": 1}', "is not what was written; "),
        ("edited", "is not what was written; "),
    ],
)
def test_a_broken_record_is_named(
    project: Path, capsys: pytest.CaptureFixture[str], content: str, says: str
) -> None:
    path = Path("results/runs") / ORACLE / "m6/default/1.json"
    value = str(read_json(path)["test"]["cvr_auc_oracle"])
    edited = path.read_text(encoding="utf-8").replace(value, "0.99")
    path.write_text(edited if content == "edited" else content, encoding="utf-8")
    assert main(["report"]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: {path} {says}")
    assert message.count("\n") == 1


@pytest.mark.parametrize("part", [".", "default", "trials"])
def test_what_was_copied_from_another_method_is_not_in_the_table(project: Path, part: str) -> None:
    runs = project / "results/runs" / ORACLE
    shutil.copytree(runs / "m1" / part, runs / "m2" / part, dirs_exist_ok=True)
    assert excluded(project)["m2"] == "its records are of m1; run it again"


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("m6/task.json", '"cpu', '"another cpu'),
        ("m3/task.json", '"commit": "', '"commit": "f'),
        ("m5/failed.json", "diverged", "was late"),
    ],
)
def test_what_a_result_depends_on_cannot_be_edited(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, before: str, after: str
) -> None:
    runs = Path("results/runs") / ORACLE
    write_sealed(runs / "m5/failed.json", {"reason": "it diverged", "lasting": False})
    assert main(["report"]) == 0
    path = runs / name
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    assert main(["report"]) == 1
    message = capsys.readouterr().err
    assert message == f"error: {path} is not what was written; run it again\n"


def test_methods_of_this_suite_are_told_from_those_of_the_papers_that_they_cite(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (cards, page):
        monkeypatch.setattr(module, "is_ours", lambda method: method == METHODS[0])
    assert main(["report"]) == 0
    markdown, tex, html = (
        (project / "results" / name).read_text(encoding="utf-8")
        for name in ("leaderboard.md", "leaderboard.tex", "index.html")
    )
    assert f"{TITLES[0]} ({METHODS[0]}) (ours, after [@author2020m0])" in markdown
    assert f"{TITLES[6]} ({METHODS[6]}) [@author2020m6]" in markdown
    assert rf"{TITLES[0]} (ours, after~\cite{{author2020m0}})" in tex
    assert rf"{TITLES[6]}~\cite{{author2020m6}}" in tex
    assert f'"#method-m0">{TITLES[0]} ({METHODS[0]})</a> <span class="soft">ours</span>' in html
    assert f'"#method-m6">{TITLES[6]} ({METHODS[6]})</a></th>' in html


def test_a_method_is_ours_if_its_evidence_says_so() -> None:
    ours = {name for name in registry.names("methods") if cards.is_ours(name)}
    assert "hm3_joint" in ours
    assert "hm3" not in ours
    assert all("ours" in cards.read([name])[name].evidence for name in ours)
    assert not cards.is_ours("no_such_method")


@pytest.mark.parametrize(
    "name", ["cvr_auc", "cvr_auc_orcale", "cvr_f1_clicked", "cvr_auc_clicked_x"]
)
def test_an_unknown_metric_is_refused(name: str) -> None:
    with pytest.raises(LookupError, match=f"unknown metric '{name}'"):
        Metric.parse(name)


def test_time_has_a_unit_that_suits() -> None:
    assert [duration(s) for s in (5.4, 600, 9000)] == ["5 s", "10 min", "2.5 h"]


def test_a_method_with_defaults_of_its_own_stands_in_the_table(project: Path) -> None:
    content = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    content["protocol"]["defaults"] = {METHODS[0]: {"weight_decay": 1e-5}, "weight_decay": 1e-6}
    (project / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    protocol = Params.model_validate(content).protocol
    for method in METHODS[:2]:
        task = project / "results/runs" / ORACLE / method / "task.json"
        edit(task, protocol=protocol.of(method).identity)
    out = excluded(project)
    assert not out.keys() & set(METHODS[:2])
    assert "its protocol is not that of params.yaml" in str(out[METHODS[2]])
