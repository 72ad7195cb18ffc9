"""The page as a reader uses it: sort, filter, compare, copy, links to a state, accessibility."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.browser import Visit, visit
from helpers.fake_runs import METHODS, ORACLE, edit, write_project
from helpers.projects import pictures_of

from benchmark.cli import main
from benchmark.files import read_json
from benchmark.reporting.published import Published
from benchmark.reporting.statistics import interval

ACT = """
const section = document.querySelector('[data-setting="oracle_log"]');
const links = () => [...section.querySelectorAll(".explorer tbody button.link")];
const rows = () => links().map((link) => link.dataset.method);
const set = (name, value, kind = "change") => {
  const input = section.querySelector(`.controls [name="${name}"]`);
  if (input.type === "checkbox") input.checked = value; else input.value = value;
  input.dispatchEvent(new Event(kind, { bubbles: true }));
};
const found = { first: rows(), static: getComputedStyle(section.querySelector(".static")).display };
section.querySelector('th button[data-column="cvr_auc_clicked"]').click();
found.sorted = rows();
const marked = () => section.querySelector("th[aria-sort]");
found.marked = [marked().textContent, marked().getAttribute("aria-sort")];
section.querySelector('th button[data-column="cvr_auc_clicked"]').click();
found.turned = rows();
found.marked.push(marked().getAttribute("aria-sort"));
set("query", "net", "input");
found.filtered = rows();
found.counted = section.querySelector(".explorer [role=status]").textContent;
set("query", "", "input");
set("need", "-");
found.needless = rows().length;
set("need", "");
set("defaults", true);
found.beside = section.querySelectorAll("td small").length;
set("metric", "cvr_logloss_oracle");
found.link = location.hash;
set("method-0", "m4");
set("method-1", "m7");
found.verdict = section.querySelector(".verdict").textContent;
found.dots = section.querySelectorAll(".contrast circle.dot:not(.mean)").length;
found.compared = location.hash;
section.querySelector(".columns input[name=time]").click();
found.columns = [...section.querySelectorAll("thead button")].map((b) => b.dataset.column);
section.querySelector('button[data-method="m2"]').click();
await wait();
const dialog = document.querySelector("dialog");
const title = dialog.querySelector("h2").textContent;
found.opened = [dialog.open, title, dialog.querySelectorAll("svg.chart").length];
const copies = [...dialog.querySelectorAll("button.copy")];
for (const name of ["BibTeX", "LaTeX row"]) {
  copies.find((b) => b.textContent === `Copy ${name}`).click();
  await wait();
  found[name] = window.copied;
}
dialog.querySelector(".close").click();
await wait();
found.closed = location.hash;
found.withDefaults = [...document.querySelectorAll("[data-setting]")]
  .filter((one) => one.querySelector("[name=defaults]")).map((one) => one.dataset.setting);
const clicks = document.querySelector('[data-setting="click_log"]');
for (const fragment of ["dataset=constructor", "dataset=click_log&metric=toString",
  "method=valueOf", "dataset=click_log&metric=cvr_auc_oracle", "dataset=click_log&compare=m0,m2",
  "%E0%A4%A=1"]) {
  location.hash = fragment;
  await wait();
}
found.astray = ["metric", "method-0", "method-1"]
  .map((name) => clicks.querySelector(`[name="${name}"]`).value);
return found;
"""
LINKED = """
await wait();
const section = document.querySelector('[data-setting="oracle_log"]');
const chosen = (name) => section.querySelector(`[name="${name}"]`).value;
const dialog = document.querySelector("dialog");
const pair = [chosen("method-0"), chosen("method-1")];
return [chosen("metric"), ...pair, dialog.open, dialog.querySelector("h2").textContent];
"""
CHECK = """
document.querySelectorAll("details").forEach((part) => { part.open = true; });
const told = async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .map((rule) => `${rule.id}: ${rule.nodes[0].html.slice(0, 200)} ${rule.nodes[0].failureSummary}`);
const page = await told();
document.documentElement.dataset.theme = "dark";
const dark = await told();
document.querySelector('button[data-method="m2"]').click();
await wait();
return { page, dark, dialog: await told() };
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of three replicates with tables, page and some pictures; to be read."""
    root = write_project(tmp_path_factory.mktemp("project"), 3)
    tune(root / "results/runs" / ORACLE / METHODS[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        pictures_of(patch, ORACLE)
        assert main(["report"]) == 0
    return root / "results"


def tune(folder: Path) -> None:
    """Let a search have found better hyper-parameters than the defaults."""
    shutil.copytree(folder / "default", folder / "tuned")
    edit(folder / "best.json", part="tuned")
    for number, path in enumerate(sorted((folder / "tuned").glob("*.json"))):
        test = read_json(path)["test"]
        edit(path, test={name: value + 1e-4 * (1 + number) for name, value in test.items()})


@pytest.fixture(scope="module")
def used(published: Path) -> Visit:
    """Return what a reader finds who sorts, filters, compares, opens a method and copies."""
    return visit(published / "index.html", ACT)


@pytest.fixture(scope="module")
def scores(published: Path) -> dict[str, Any]:
    """Return the scores of each method on the log with an oracle, from the published file."""
    text = (published / "leaderboard.json").read_text(encoding="utf-8")
    setting = next(x for x in json.loads(text)["settings"] if x["name"] == ORACLE)
    return {entry["method"]: entry["scores"] for entry in setting["entries"]}


def test_nothing_is_told_to_the_console(used: Visit) -> None:
    assert used.problems == []


def test_a_click_on_a_metric_sorts_and_a_second_one_turns_the_order(
    used: Visit, scores: dict[str, Any]
) -> None:
    assert used.found["first"] == list(scores)
    wanted = sorted(scores, key=lambda method: -scores[method]["cvr_auc_clicked"]["mean"])
    assert used.found["sorted"] == wanted != list(scores)
    assert used.found["turned"] == wanted[::-1]
    title, *orders = used.found["marked"]
    assert title.startswith("CVR AUC, clicked impressions")
    assert orders == ["descending", "ascending"]


def test_filters_keep_the_methods_that_match(used: Visit) -> None:
    assert used.found["filtered"] == ["m8"]
    assert used.found["counted"] == "1 of 10 methods"
    assert used.found["needless"] == 10
    assert used.found["static"] == "none"


def test_published_hyperparameters_stand_beside_tuned_ones(used: Visit) -> None:
    assert used.found["beside"] == 20  # two headline metrics of ten methods
    assert used.found["withDefaults"] == [ORACLE]  # on the other log, nothing is tuned


def test_two_methods_are_compared_as_the_statistics_do(used: Visit, scores: dict[str, Any]) -> None:
    one, two = (np.array(scores[m]["cvr_logloss_oracle"]["values"]) for m in ("m4", "m7"))
    gain = interval(two - one, 0.95)
    text = f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
    assert text in used.found["verdict"]
    verdict = "better" if gain.low > 0 else "undecided"
    assert f"Verdict: {verdict} as a single comparison" in used.found["verdict"]
    assert used.found["dots"] == 3


def test_what_a_reader_chose_is_in_the_link(used: Visit) -> None:
    assert used.found["link"] == f"#dataset={ORACLE}&metric=cvr_logloss_oracle"
    assert used.found["compared"] == used.found["link"] + "&compare=m4,m7"
    assert used.found["closed"] == used.found["compared"]


def test_columns_can_be_taken_out(used: Visit) -> None:
    assert "time" not in used.found["columns"]
    assert used.found["columns"][:2] == ["name", "cvr_logloss_oracle"]


def test_a_method_opens_with_its_curves_and_can_be_cited(used: Visit) -> None:
    assert used.found["opened"] == [True, "Robust & <Clipped> (m2)", 2]
    assert used.found["BibTeX"].startswith("@inproceedings{author2020m2,")
    assert used.found["LaTeX row"].startswith(r"Robust \& \textless{}Clipped\textgreater{}~\cite{")


def test_a_link_to_what_is_not_there_leaves_the_page_as_it_is(used: Visit, published: Path) -> None:
    text = (published / "leaderboard.json").read_text(encoding="utf-8")
    setting = next(x for x in json.loads(text)["settings"] if x["name"] != ORACLE)
    first, second = (entry["method"] for entry in setting["entries"][:2])
    assert used.found["astray"] == [setting["headline"][0], first, second]


def test_a_link_leads_to_a_state(published: Path) -> None:
    state = f"#dataset={ORACLE}&metric=cvr_auc_clicked&compare=m1,m3&method=m5"
    seen = visit(published / "index.html", LINKED, state)
    assert seen.found == ["cvr_auc_clicked", "m1", "m3", True, "Entire 100% (m5)"]
    assert seen.problems == []


def test_axe_finds_no_barrier_on_the_page_or_in_a_card_in_either_colours(published: Path) -> None:
    found = visit(published / "index.html", CHECK, axe=True).found
    assert found == {"page": [], "dark": [], "dialog": []}


def test_the_published_file_is_what_its_schema_says(published: Path) -> None:
    text = (published / "leaderboard.json").read_text(encoding="utf-8")
    schema = json.loads((published / "leaderboard.schema.json").read_text(encoding="utf-8"))
    Published.model_validate_json(text)
    assert schema == Published.model_json_schema()
    described = [part for kind in schema["$defs"].values() for part in kind["properties"].values()]
    assert len(described) > 60
    assert all(part.get("description") for part in described)
