"""The subcommands of the command line; each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.data.dataset import Dataset
    from benchmark.studies import Workspace

MANUAL, RECBOLE = Path("data/manual"), Path("data/recbole")
PINS = Path("datasets/checksums.json")
METHODS, CARDS = Path("docs/methods.md"), Path("docs/datasets")
DATASET = "a file name in datasets/, without .py"
METHOD = "a file name in methods/, without .py"
STUDY = "a folder in studies/, whose params, data and results are used instead of the benchmark's"


def download(dataset: str, study: str | None = None) -> None:
    """Fetch or take the raw files of one dataset."""
    from benchmark.data.fetching.download import fetch
    from benchmark.data.fetching.raw import origins
    from benchmark.studies import Workspace

    place = Workspace(study)
    chosen = _adapter(dataset, place)
    raw = place.raw / dataset
    fetch(dataset, chosen.sources, raw, MANUAL / (chosen.base or dataset), PINS)
    if found := origins(raw):
        print(f"{dataset}: {found}")


def preprocess(dataset: str, study: str | None = None) -> None:
    """Write the ready splits of one dataset."""
    from benchmark.data.fetching import download
    from benchmark.data.preprocess import preprocess as make_ready
    from benchmark.studies import Workspace

    place = Workspace(study)
    chosen = _adapter(dataset, place)
    raw = place.raw / dataset
    make_ready(chosen, dataset, raw, place.processed / dataset, verified=download.is_verified(raw))


def _adapter(dataset: str, place: Workspace) -> Dataset:
    from benchmark import registry
    from benchmark.configuration.mistakes import validated
    from benchmark.data.dataset import Dataset

    kind, params = registry.load("datasets", dataset, Dataset), place.params
    if given := params.options.get(dataset, {}):
        validated(kind.options_model(), params.source, ("options", dataset))
    return kind(**given)


def run(dataset: str, method: str, study: str | None = None) -> None:
    """Tune one method on one dataset and run it with every seed."""
    from benchmark.execution.run import run as run_task
    from benchmark.studies import Workspace

    place = Workspace(study)
    run_task(
        place.processed / dataset, method, place.params.protocol, place.runs / dataset / method
    )


def launch(
    study: str | None = None,
    on: str | None = None,
    workers: str | None = None,
    options: str | None = None,
) -> None:
    """Run all pending tasks side by side: on this machine, SLURM or Ray."""
    from benchmark.execution.launch import chosen, launch
    from benchmark.studies import Workspace

    place = Workspace(study)
    launch(place, chosen(place.params.launch, on, workers, options))


def export_recbole(dataset: str) -> None:
    """Write the ready splits of one dataset as atomic files for stock RecBole."""
    from benchmark.data import atomic_files
    from benchmark.studies import Workspace

    atomic_files.export_recbole(Workspace().processed / dataset, RECBOLE / dataset)


def leaderboard(study: str | None = None) -> None:
    """Write the tables, the record of every seed and the references to results/."""
    from benchmark.reporting.leaderboard import write
    from benchmark.reporting.records import read
    from benchmark.studies import Workspace

    place = Workspace(study)
    params = place.params
    write(read(params, place.runs, place.processed), params, place.results)


def plots(study: str | None = None) -> None:
    """Draw the pictures in results/plots and write results/index.html."""
    from benchmark.reporting.citations import references
    from benchmark.reporting.page import write
    from benchmark.reporting.plots import draw
    from benchmark.reporting.records import read
    from benchmark.reporting.table import build
    from benchmark.studies import Workspace

    place = Workspace(study)
    params, results = place.params, place.results
    logs = read(params, place.runs, place.processed)
    tables = [build(log, params) for log in logs]
    write(tables, draw(tables, results / "plots"), references(logs), results / "index.html")


def orderings(study: str | None = None) -> None:
    """Check which orderings that a study's papers report hold in its runs."""
    from benchmark.files import write_text
    from benchmark.reporting.records import read
    from benchmark.reporting.studies.orderings import Orderings, markdown
    from benchmark.studies import Workspace

    place = Workspace(study)
    params, found = place.params, Orderings.read(place.folder / "orderings.yaml")
    text = markdown(found, read(params, place.runs, place.processed), params.leaderboard.confidence)
    write_text(place.results / "orderings.md", text)


def reproduction(study: str | None = None) -> None:
    """Put a study's runs beside the values that a paper published."""
    from benchmark.reporting.records import read
    from benchmark.reporting.studies.reproduction.comparison import Published
    from benchmark.reporting.studies.reproduction.text import write
    from benchmark.studies import Workspace

    place = Workspace(study)
    found, arms = Published.read(place.folder / "published.yaml"), {}
    for name, arm in found.arms.items():
        own = Workspace(arm.study)
        arms[name], *_ = read(own.params, own.runs, own.processed)
    write(found, arms, place.params.leaderboard.confidence, place.results)


def show(study: str | None = None) -> None:
    """Print the leaderboard and where the pictures lie."""
    from benchmark.reporting.leaderboard import plain
    from benchmark.reporting.records import read
    from benchmark.reporting.table import build
    from benchmark.studies import Workspace

    place = Workspace(study)
    params = place.params
    for log in read(params, place.runs, place.processed):
        print(plain(build(log, params)), end="\n\n")
    page = place.results / "index.html"
    print(f"page: {page}" if page.is_file() else "no page yet: run `python -m benchmark plots`")
    for picture in sorted((place.results / "plots").glob("*/*.svg")):
        print(f"picture: {picture}")


def worlds(study: str | None = None) -> None:
    """Write the ready splits of every world of a study's sweep."""
    from benchmark.data.simulation.settings import write
    from benchmark.studies import Workspace

    place = Workspace(study)
    sweep = place.sweep
    options = place.params.options.get(sweep.dataset, {})
    raw, chosen = place.raw / sweep.dataset, place.params.selection
    download(sweep.dataset, study)
    if chosen is None:
        write(sweep, options, raw, place.processed)
        return
    for seed in chosen.draws:
        write(sweep, options | {"seed": seed}, raw, place.processed / str(seed))


def sweep(method: str, study: str | None = None) -> None:
    """Run one method in every world of a study's sweep."""
    from benchmark.execution.run import run_all
    from benchmark.studies import Workspace

    place = Workspace(study)
    datasets = {place.runs / method / name: place.processed / name for name in place.sweep.worlds()}
    for failure in run_all(datasets, method, place.params.protocol):
        print(f"on record: {failure}")


def candidates(method: str, study: str | None = None) -> None:
    """Train one method's candidates for a study of selection criteria."""
    from benchmark.execution.candidates import train_all
    from benchmark.studies import Workspace

    place = Workspace(study)
    draws = {
        place.runs / method / str(seed) / world: (place.processed / str(seed) / world, seed)
        for seed in place.selection.draws
        for world in place.sweep.worlds()
    }
    train_all(draws, method, place.params.protocol, place.selection.candidates)


def regret(study: str | None = None) -> None:
    """Compare the selection criteria of a study by the regret of what they choose."""
    from benchmark.files import write_text
    from benchmark.reporting.studies.regret.measure import outcomes, read, summary, table
    from benchmark.reporting.studies.regret.plots import draw
    from benchmark.reporting.studies.regret.report import conditions, markdown
    from benchmark.studies import Workspace

    place = Workspace(study)
    params, sweep, chosen = place.params, place.sweep, place.selection
    default, confidence = params.protocol.selection_metric, params.leaderboard.confidence
    pools = read(place.runs, params, chosen, sweep.worlds())
    means = summary(outcomes(pools), default, confidence)
    text = table(means).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(place.results / "regret.csv", text)
    about = conditions(params, sweep, chosen)
    write_text(place.results / "regret.md", markdown(means, default, confidence, about))
    draw(means, place.results / "plots")


def sweep_report(study: str | None = None) -> None:
    """Write which method is best in which world of a sweep, with pictures."""
    from benchmark.reporting.studies.sensitivity.comparison import read
    from benchmark.reporting.studies.sensitivity.page import write
    from benchmark.reporting.studies.sensitivity.plots import draw
    from benchmark.studies import Workspace

    place = Workspace(study)
    params, results = place.params, place.results
    found = read(params, place.sweep, place.runs, place.processed)
    write(found, params, draw(found, results / "plots"), results)


def datasets() -> None:
    """Print all datasets: what they have, how to get them, what is here."""
    from benchmark.documentation.cards.listing import Folders, table
    from benchmark.studies import Workspace

    place = Workspace()
    print(table(Folders(place.raw, place.processed, CARDS)))


def cards() -> None:
    """Write the cards of all datasets to docs/datasets/, with counts of those that are ready."""
    from benchmark.documentation.cards.listing import Folders
    from benchmark.documentation.cards.write import write_all
    from benchmark.studies import Workspace

    place = Workspace()
    folders = Folders(place.raw, place.processed, CARDS)
    print(f"wrote {write_all(folders)} and a card per dataset in {CARDS}/")


def methods() -> None:
    """Write the list of all methods to docs/methods.md."""
    from benchmark.documentation.catalogue import markdown
    from benchmark.files import write_text

    write_text(METHODS, markdown())
    print(f"wrote {METHODS}")


def new_method(name: str, cite: str | None = None) -> None:
    """Write the first version of a method's file, which works."""
    from benchmark.scaffold.method import create

    path = create(name, cite)
    entry = "" if cite else " and in the entry that it cites, the last of methods/references.bib"
    print(f"wrote {path.parent.name}/{path.name}. Next:")
    print(f"  replace every TODO in it{entry};")
    print(f"  add `- {name}` to the methods in params.yaml;")
    print("  run `python -m benchmark methods`, then `make test`.")


@dataclass(frozen=True)
class Command:
    """A subcommand with the help of its arguments; "--" begins the name of an optional one."""

    function: Callable[..., None]
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The word typed."""
        return self.function.__name__.replace("_", "-")

    @property
    def help(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").splitlines()[0]


IN_STUDY = {"--study": STUDY}
LAUNCH = {
    "--on": "local, slurm or ray; by default what params.yaml says under `launch`, or local",
    "--workers": "how many trainings at a time; by default one per core or GPU, on a cluster 100",
    "--options": "of a cluster's jobs, as YAML: 'partition: gpu, gpus_per_node: 1, time: 240'",
}
COMMANDS = (
    Command(download, {"dataset": DATASET} | IN_STUDY),
    Command(preprocess, {"dataset": DATASET} | IN_STUDY),
    Command(run, {"dataset": DATASET, "method": METHOD} | IN_STUDY),
    Command(launch, IN_STUDY | LAUNCH),
    Command(leaderboard, IN_STUDY),
    Command(plots, IN_STUDY),
    Command(orderings, IN_STUDY),
    Command(reproduction, IN_STUDY),
    Command(show, IN_STUDY),
    Command(worlds, IN_STUDY),
    Command(sweep, {"method": METHOD} | IN_STUDY),
    Command(sweep_report, IN_STUDY),
    Command(candidates, {"method": METHOD} | IN_STUDY),
    Command(regret, IN_STUDY),
    Command(export_recbole, {"dataset": DATASET}),
    Command(datasets),
    Command(cards),
    Command(methods),
    Command(
        new_method,
        {
            "name": "of the new file in methods/, in snake_case",
            "--cite": "key of its paper in methods/references.bib; by default a new placeholder",
        },
    ),
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark", description="CVR debiasing benchmark"
    )
    subcommands = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    for command in COMMANDS:
        subparser = subcommands.add_parser(
            command.name, help=command.help, description=command.help
        )
        for name, help_ in command.arguments.items():
            subparser.add_argument(name, help=help_)
        subparser.set_defaults(function=command.function)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; bad input ends in one sentence, not a traceback."""
    chosen = vars(parser().parse_args(arguments))
    function = chosen.pop("function")
    chosen.pop("subcommand")
    try:
        function(**chosen)
    except (OSError, LookupError, ValueError, ArithmeticError, RuntimeError) as error:
        message = error.args[0] if isinstance(error, LookupError) and error.args else error
        print(f"error: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; finished work is kept: run it again to go on", file=sys.stderr)
        return 130
    return 0
