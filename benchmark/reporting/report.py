"""The reports of a study: which there are follows from what its params and files ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

from benchmark.execution.archive import pack
from benchmark.files import write_json, write_text
from benchmark.reporting import cards, documents, leaderboard, page, plots, ranking, site
from benchmark.reporting.citations import references
from benchmark.reporting.csv_files import ROUNDED, write_csv
from benchmark.reporting.published import publish, schema
from benchmark.reporting.records import DatasetResults, read
from benchmark.reporting.studies import orderings, variants
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
from benchmark.splits import schema_of
from benchmark.studies import Arms, Workspace


def write(workspace: Workspace) -> None:
    """Write every report of the benchmark or of a study.

    Raises:
        FileNotFoundError: nothing is on record.
        LookupError: ``params.yaml`` names an unknown metric.
        ValueError: a record cannot be read.
    """
    params, reproduced = workspace.params, _reproduced(workspace)
    if params.selection is not None:
        _regret(workspace)
    elif params.sensitivity is not None:
        _sensitivity(workspace)
    else:
        _leaderboard(workspace)
    if reproduced is not None:
        reproduction.write(*reproduced, params.leaderboard.confidence, workspace.results)
        documents.write(workspace.results / "reproduction.md", {}, site.others(workspace))
    pack(workspace)


def _leaderboard(workspace: Workspace) -> None:
    params, results, datasets = workspace.params, workspace.results, read(workspace)
    more = dict(_more(workspace, datasets))
    own = [workspace.params_of(setting) for setting in workspace.settings()]
    tables = [build(*pair) for pair in zip(datasets, own, strict=True)]
    rankings = ranking.rank_all(datasets, params)
    leaderboard.write(tables, params, results)
    described = cards.read(task.method for one in datasets for task in one.tasks)
    about = site.about(workspace)
    published = publish(tables, rankings, params, described, references(datasets), **about)
    write_text(results / "leaderboard.json", published.text())
    write_text(results / "leaderboard.schema.json", schema())
    write_json(results / "metrics.json", published.headlines())
    write_text(results / "headline.csv", published.bars())
    pictures = plots.draw(tables, results / "plots")
    pictures[""] = ranking.write(rankings, results)
    parts = page.Parts(pictures, more, site.others(workspace))
    page.write(published, tables, parts, results / "index.html")


def _more(workspace: Workspace, datasets: Sequence[DatasetResults]) -> Iterator[tuple[str, Markup]]:
    """Yield what a study has beside its tables, as sections of the page."""
    asks = workspace.folder / "orderings.yaml"
    if asks.is_file():
        yield "orderings", _orderings(workspace, asks, datasets)
    if workspace.params.arms is not None:
        yield "arms", _arms(workspace, workspace.params.arms, datasets)
    if workspace.params.variants:
        yield "variants", _variants(workspace, datasets)


def _sensitivity(workspace: Workspace) -> None:
    params, results, comparison = workspace.params, workspace.results, sensitivity.read(workspace)
    pictures = sensitivity_plots.draw(comparison, results / "plots")
    ranked = ranking.rank_all([table.results for table in comparison.tables.values()], params)
    pictures[""] += ranking.write(ranked, results)
    sensitivity_page.write(comparison, params, pictures, site.others(workspace), results)


def _regret(workspace: Workspace) -> None:
    params, results = workspace.params, workspace.results
    default, confidence = params.protocol.selection_metric, params.leaderboard.confidence
    means = regret.summary(regret.outcomes(regret.read(workspace)), default, confidence)
    write_csv(results / "regret.csv", regret.table(means), ROUNDED)
    study, selection = workspace.section("sensitivity"), workspace.section("selection")
    about = regret_report.conditions(params, study, selection)
    write_text(results / "regret.md", regret_report.markdown(means, default, confidence, about))
    pictures = regret_plots.draw(means, results / "plots")
    shown = dict(zip(pictures, regret_plots.CAPTIONS, strict=True))
    documents.write(results / "regret.md", shown, site.others(workspace))


def _orderings(workspace: Workspace, path: Path, datasets: Sequence[DatasetResults]) -> Markup:
    """Write which published orderings hold, and return it as a section of the page."""
    published = orderings.Orderings.read(path)
    text = orderings.markdown(published, datasets, workspace.params.leaderboard.confidence)
    write_text(workspace.results / "orderings.md", text)
    return documents.html(text, deeper=1)


def _variants(workspace: Workspace, datasets: Sequence[DatasetResults]) -> Markup:
    """Write how far conclusions hold in every variant, and return it as a section of the page."""
    text = variants.write(datasets, workspace.params.leaderboard, workspace.results)
    return documents.html(text, deeper=1)


def _arms(workspace: Workspace, section: Arms, datasets: Sequence[DatasetResults]) -> Markup:
    """Write what randomised arms say of the predictions, and return it as a section of the page."""
    for setting, results in zip(workspace.settings(), datasets, strict=True):
        first = setting.replicate(0)
        study = arms.Study(
            title=results.title,
            claims=schema_of(first).claims,
            arms=section,
            rows=arm_rows.read(first, section),
            test=arm_rows.read(first, section, ("test",)),
            methods=[
                arms.Method(task.title, replicates)
                for task, replicates in arm_rows.predicted(setting, results)
            ],
            confidence=workspace.params.leaderboard.confidence,
        )
        arms.write(study, workspace.results)
    return documents.html((workspace.results / "arms.md").read_text(encoding="utf-8"), deeper=1)


def _reproduced(workspace: Workspace) -> tuple[Published, dict[str, DatasetResults]] | None:
    """Return published values and what each variant found, if the study compares with some."""
    source = workspace.folder / "published.yaml"
    if not source.is_file():
        return None
    published = Published.read(source)
    return published, {
        name: read(Workspace(own.study))[0] for name, own in published.variants.items()
    }
