"""The reports of a study: which there are follows from what its params and files ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

from benchmark.execution.archive import pack
from benchmark.files import write_json, write_text
from benchmark.reporting import cards, documents, leaderboard, page, plots, ranking, site
from benchmark.reporting.citations import references
from benchmark.reporting.published import publish, schema
from benchmark.reporting.records import DatasetResults, read
from benchmark.reporting.studies import orderings
from benchmark.reporting.studies.arms import report as arms
from benchmark.reporting.studies.arms import rows as arm_rows
from benchmark.reporting.studies.regret import measure as regret
from benchmark.reporting.studies.regret import plots as regret_plots
from benchmark.reporting.studies.regret import report as regret_report
from benchmark.reporting.studies.reproduction import text as reproduction
from benchmark.reporting.studies.reproduction.comparison import Published
from benchmark.reporting.studies.sensitivity import comparison as sensitivity
from benchmark.reporting.studies.sensitivity import page as sensitivity_page
from benchmark.reporting.studies.sensitivity import plots as sensitivity_plots
from benchmark.reporting.table import build
from benchmark.schema import Schema
from benchmark.studies import Arms, Workspace


def write(workspace: Workspace) -> None:
    """Write every report of the benchmark or of a study.

    Raises:
        FileNotFoundError: nothing is on record.
        LookupError: ``params.yaml`` names an unknown metric.
        ValueError: a record cannot be read.
    """
    params = workspace.params
    if params.selection is not None:
        _regret(workspace)
    elif params.sensitivity is not None:
        _sensitivity(workspace)
    else:
        _leaderboard(workspace)
    if (workspace.folder / "published.yaml").is_file():
        _reproduction(workspace)
    pack(workspace)


def _leaderboard(workspace: Workspace) -> None:
    params, results, found = workspace.params, workspace.results, read(workspace)
    more = dict(_more(workspace, found))
    tables, rankings = [build(one, params) for one in found], ranking.rank_all(found, params)
    leaderboard.write(tables, params, results)
    described = cards.read(task.method for setting in found for task in setting.tasks)
    about = site.about(workspace)
    published = publish(tables, rankings, params, described, references(found), **about)
    write_text(results / "leaderboard.json", published.text())
    write_text(results / "leaderboard.schema.json", schema())
    write_json(results / "metrics.json", published.headlines())
    write_text(results / "headline.csv", published.bars())
    pictures = plots.draw(tables, results / "plots")
    pictures[""] = ranking.write(rankings, results)
    parts = page.Parts(pictures, more, site.others(workspace))
    page.write(published, tables, parts, results / "index.html")


def _more(workspace: Workspace, found: Sequence[DatasetResults]) -> Iterator[tuple[str, Markup]]:
    """Yield what a study has beside its tables, as sections of the page."""
    asks = workspace.folder / "orderings.yaml"
    if asks.is_file():
        yield "orderings", _orderings(workspace, asks, found)
    if workspace.params.arms is not None:
        yield "arms", _arms(workspace, workspace.params.arms, found)


def _sensitivity(workspace: Workspace) -> None:
    params, results, found = workspace.params, workspace.results, sensitivity.read(workspace)
    pictures = sensitivity_plots.draw(found, results / "plots")
    ranked = ranking.rank_all([table.results for table in found.tables.values()], params)
    pictures[""] += ranking.write(ranked, results)
    sensitivity_page.write(found, params, pictures, site.others(workspace), results)


def _regret(workspace: Workspace) -> None:
    params, results = workspace.params, workspace.results
    default, confidence = params.protocol.selection_metric, params.leaderboard.confidence
    means = regret.summary(regret.outcomes(regret.read(workspace)), default, confidence)
    table = regret.table(means)
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(results / "regret.csv", text)
    study, chosen = workspace.section("sensitivity"), workspace.section("selection")
    about = regret_report.conditions(params, study, chosen)
    write_text(results / "regret.md", regret_report.markdown(means, default, confidence, about))
    pictures = regret_plots.draw(means, results / "plots")
    shown = dict(zip(pictures, regret_plots.CAPTIONS, strict=True))
    documents.write(results / "regret.md", shown, site.others(workspace))


def _orderings(workspace: Workspace, path: Path, found: Sequence[DatasetResults]) -> Markup:
    """Write which published orderings hold, and return it as a section of the page."""
    asked = orderings.Orderings.read(path)
    text = orderings.markdown(asked, found, workspace.params.leaderboard.confidence)
    write_text(workspace.results / "orderings.md", text)
    return documents.html(text, deeper=1)


def _arms(workspace: Workspace, asked: Arms, results: Sequence[DatasetResults]) -> Markup:
    """Write what randomised arms say of the predictions, and return it as a section of the page."""
    for setting, found in zip(workspace.settings(), results, strict=True):
        first = setting.replicate(0)
        study = arms.Study(
            title=found.title,
            claims=Schema.read(first).claims,
            arms=asked,
            rows=arm_rows.read(first, asked),
            test=arm_rows.read(first, asked, ("test",)),
            methods=[
                arms.Method(task.title, replicates)
                for task, replicates in arm_rows.predicted(setting, found)
            ],
            confidence=workspace.params.leaderboard.confidence,
        )
        arms.write(study, workspace.results)
    return documents.html((workspace.results / "arms.md").read_text(encoding="utf-8"), deeper=1)


def _reproduction(workspace: Workspace) -> None:
    found = Published.read(workspace.folder / "published.yaml")
    variants = {name: read(Workspace(own.study))[0] for name, own in found.variants.items()}
    confidence = workspace.params.leaderboard.confidence
    reproduction.write(found, variants, confidence, workspace.results)
    documents.write(workspace.results / "reproduction.md", {}, site.others(workspace))
