"""Pictures and page: whole, escaped, readable, the same bytes for the same records."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from helpers.fake_runs import CLICKS, METHODS, NEEDS, ORACLE, edit, tables, write_project
from helpers.projects import pictures_of, without_pictures

from benchmark.cli import main
from benchmark.files import write_text
from benchmark.reporting import documents, plots, site, svg
from benchmark.reporting.contrasts import Cell
from benchmark.reporting.limits import around
from benchmark.reporting.metric import Metric
from benchmark.reporting.scatter import spread
from benchmark.reporting.statistics import Interval, interval
from benchmark.sealing import write_sealed
from benchmark.studies import Workspace


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of three replicates with tables, pictures and page; for reading only."""
    root = write_project(tmp_path_factory.mktemp("project"), 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main(["report"]) == 0
    return root / "results"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project of seven methods and two replicates, to change and to run verbs in."""
    monkeypatch.chdir(tmp_path)
    return write_project(tmp_path, 2, 7)


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        links = [found[name] for name in ("href", "xlink:href") if name in found]
        self.links += links
        self.loaded += [found["src"]] if "src" in found else []
        self.loaded += links if tag in ("link", "image") else []


def test_the_page_is_whole_and_loads_nothing(published: Path) -> None:
    text = (published / "index.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert page.loaded == []
    assert "@import" not in text
    assert page.tags.count("script") == 2  # the data, and what lets readers sort and compare
    assert len(page.ids) == len(set(page.ids))
    inside = {link[1:] for link in page.links if link.startswith("#")}
    assert inside | set(re.findall(r"url\(#([^)]+)\)", text)) <= set(page.ids)
    files = {link for link in page.links if not link.startswith("#")}
    assert all((published / name).is_file() for name in files)
    assert page.tags.count("figure") == 9
    assert len(text) < 3_000_000
    assert "Clicks &lt;only&gt; &amp; more" in text
    assert "Robust &amp; &lt;Clipped&gt;" in text
    assert "<only>" not in text
    assert "Unverified source" in text


def test_pictures_are_xml_that_names_methods_and_populations(published: Path) -> None:
    pictures = sorted((published / "plots").glob("*/*.svg"))
    assert [f"{path.parent.name}/{path.stem}" for path in pictures] == [
        "click_log/calibration", "click_log/cost", "click_log/headline", "oracle_log/calibration",
        "oracle_log/clicked_vs_oracle", "oracle_log/cost", "oracle_log/headline",
    ]  # fmt: skip
    for path in pictures:
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")
        texts = " ".join(
            "".join(node.itertext()) for node in ET.parse(path).iter() if "text" in node.tag
        )
        assert "mathdefault" not in texts
        oracle = path.parent.name == ORACLE
        assert "clicked impressions" in texts or (oracle and path.stem == "cost")
        assert ("all impressions (oracle)" in texts) == oracle
        assert "Imputed" in texts
        assert "Two|Tower" in texts
        assert "<dc:date>" not in path.read_text(encoding="utf-8")


def cell(*values: float) -> Cell:
    found = np.array(values)
    return Cell(interval(found, 0.95, (0.0, 1.0)), found, best=False, style=".4f")


def test_an_axis_shows_most_values_though_one_is_far_off() -> None:
    auc = Metric.parse("cvr_auc_oracle")
    usual = [cell(0.75 + shift, 0.77 + shift) for shift in (0.0, 0.002, 0.004, 0.006, 0.008)]
    low, high = around([*usual, cell(0.1, 0.12)], auc, intervals=False, replicates=True)
    assert 0.74 < low < 0.75
    assert 0.778 < high < 0.79
    low, _ = around(
        [*usual, cell(0.2, *np.linspace(0.75, 0.78, 30))], auc, intervals=False, replicates=True
    )
    assert 0.74 < low < 0.75


def test_an_axis_holds_intervals_that_no_replicate_shows_and_all_replicates() -> None:
    auc = Metric.parse("cvr_auc_oracle")
    found = np.array([0.75, 0.751, 0.78])
    sampled = Cell(Interval(0.76, 0.05), found, best=False, style=".4f")
    low, high = around([sampled], auc, replicates=True)
    assert low < 0.71
    assert high > 0.81
    assert around([sampled], auc, intervals=False, replicates=True)[0] > 0.74
    narrow = replace(sampled, interval=Interval(0.76, 0.001))
    assert around([narrow], auc, replicates=True)[1] > 0.78


def test_an_axis_of_an_auc_stays_within_0_and_1() -> None:
    auc = Metric.parse("cvr_auc_oracle")
    assert around([cell(0.02, 0.98)], auc)[0] >= 0
    assert around([cell(0.02, 0.98), cell(0.5, 1.0)], auc, intervals=False, replicates=True) == (
        0,
        1,
    )
    assert around([cell(0.7)], auc) == pytest.approx((0.63, 0.77))


def test_names_beside_points_keep_their_distance_and_order() -> None:
    wanted = [0.1, 0.11, 0.12, 0.5, 0.97, 0.98, 0.99]
    places = spread(wanted, 0.05)
    assert (np.diff(places) >= 0.05 - 1e-12).all()
    assert places[3] == pytest.approx(0.5)
    assert places.min() >= 0
    assert places.max() <= 1 + 1e-12


def test_the_same_records_give_the_same_bytes(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = write_project(tmp_path / "elsewhere", 3) / "results"
    monkeypatch.chdir(again.parent)
    with monkeypatch.context() as patch:
        patch.setattr(svg, "UNDATED", {"svg": svg.UNDATED["svg"]})
        assert main(["report"]) == 0
    drawn = (("headline", plots.headline(table)) for table in tables(again.parent)[:1])
    svg.save(drawn, again / "plots" / ORACLE, ORACLE)  # one of the PDFs, which take longest
    files = [path.relative_to(published) for path in published.rglob("*") if path.is_file()]
    files = [name for name in files if name.suffix != ".pdf" or (again / name).is_file()]
    assert len(files) > 100
    assert Path("plots", ORACLE, "headline.pdf") in files
    assert all(content(again / name) == content(published / name) for name in files)


def content(path: Path) -> bytes:
    """Return the bytes of a file; of the page, all but its links to PDFs."""
    return re.sub(rb' <a href="[^"]+\.pdf">PDF</a>', b"", path.read_bytes())


def test_show_prints_the_headline(
    published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(published.parent)
    assert main(["show"]) == 0
    text = capsys.readouterr().out
    assert "CVR AUC, all impressions (oracle)" in text
    assert "CVR bias" not in text
    assert "UNVERIFIED SOURCE" in text
    assert f"- Robust & <Clipped>: {NEEDS}" in text
    assert "page: results/index.html" in text
    assert "picture: results/plots/oracle_log/headline.svg" in text


def test_a_dataset_whose_methods_were_all_skipped_is_reported(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures_of(monkeypatch, CLICKS)
    for method in METHODS[:7]:
        folder = project / "results/runs" / CLICKS / method
        shutil.rmtree(folder / "default", ignore_errors=True)
        write_sealed(folder / "skipped.json", {"reason": NEEDS})
    stale = project / "results/plots" / CLICKS / "headline.svg"
    stale.parent.mkdir(parents=True)
    stale.write_text("<svg/>", encoding="utf-8")
    assert main(["report"]) == main(["show"]) == 0
    text = (project / "results/leaderboard.md").read_text(encoding="utf-8")
    assert text.count(NEEDS) == 7
    assert not stale.exists()
    assert "no results" in (project / "results/index.html").read_text(encoding="utf-8")
    assert len(tables(project)[1].rows) == 0


def test_random_impressions_stand_in_for_an_oracle(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures_of(monkeypatch, ORACLE, "clicked_vs_oracle")
    for path in (project / "results/runs" / ORACLE).glob("*/default/*.json"):
        text = path.read_text(encoding="utf-8").replace("_oracle", "_random")
        path.write_text(text, encoding="utf-8")
        edit(path)
    assert main(["report"]) == 0
    picture = project / "results/plots" / ORACLE / "clicked_vs_oracle.svg"
    assert "CVR AUC, impressions shown at random" in picture.read_text(encoding="utf-8")


def test_pages_of_studies_have_titles_of_their_own_and_lead_to_each_other(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pictures(monkeypatch)
    for name, text in {"one": "title: Which when?\n", "two": "replicates: 2\n"}.items():
        write_text(project / "studies" / name / "params.yaml", f"# About it.\n{text}")
        write_text(
            project / "results/studies" / name / "report.md", "# A & B\n\n## C\n\n|a|\n|-|\n|1|\n"
        )
        documents.write(
            project / "results/studies" / name / "report.md", {}, site.others(Workspace(name))
        )
    fits = [f"a/{name}/default/{number}.json" for name in ("x", "y", "z") for number in (0, 1)]
    others = ["a/x/tuned/1.json", "b/x@90/tuned/0.json", "a/v/trials/7.json", "a/w/skipped.json"]
    records = pl.DataFrame({"path": fits + others})
    records.write_parquet(project / "results/studies/two/records.parquet")
    assert main(["report"]) == 0
    main_page = (project / "results/index.html").read_text(encoding="utf-8")
    one = main_page.index('<a href="studies/one/index.html">Which when?</a>')
    extent = "3 methods, 2 settings, 2 replicates"
    two = f'<a href="studies/two/index.html">Two</a> <small class="soft">{extent}<'
    assert main_page.index(two) < one
    text = (project / "results/studies/two/index.html").read_text(encoding="utf-8")
    assert "<title>A &amp; B – CVR debiasing benchmark</title>" in text
    assert "<h2>C</h2>" in text
    assert "<td>1</td>" in text
    assert '<a href="../../index.html">Main leaderboard</a>' in text
    assert '<a href="../one/index.html">Which when?</a>' in text
