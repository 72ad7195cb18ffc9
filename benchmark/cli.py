"""The subcommands of the command line; each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import BenchmarkError

EXPECTED = (BenchmarkError, OSError, LookupError, ValueError, ArithmeticError, RuntimeError)
MANUAL, RECBOLE = Path("data/manual"), Path("data/recbole")
METHODS, CARDS = Path("docs/methods.md"), Path("docs/datasets")
DATASET = "a file name in datasets/, without .py"
SETTING = "a setting: a dataset, or a factor at a level such as overlap-0.5; by default all"
METHOD = "a file name in methods/, without .py"
STUDY = "a folder in studies/, whose params, data and results are used instead of the benchmark's"


def data(dataset: str | None = None, study: str | None = None) -> None:
    """Fetch and process the data of all settings, or of one dataset."""
    from benchmark.data.prepare import prepare, report
    from benchmark.execution.executors.local import cores
    from benchmark.studies import Workspace

    failures = prepare(Workspace(study), cores(), dataset)
    report(failures)
    if dataset is not None and failures:
        raise ValueError(f"{dataset} could not be prepared")


def download(dataset: str, study: str | None = None) -> None:
    """Fetch or take the raw files of one dataset."""
    from benchmark.data import prepare
    from benchmark.data.fetching.raw import origins
    from benchmark.studies import Workspace

    if came_from := origins(prepare.download(Workspace(study), dataset)):
        print(f"{dataset}: {came_from}")


def preprocess(dataset: str, study: str | None = None) -> None:
    """Write the processed splits of one dataset with its options, or its first replicate alone."""
    from benchmark.data.prepare import Draw, process
    from benchmark.studies import Setting, Workspace

    workspace = Workspace(study)
    options = workspace.params.options.get(dataset, {})
    setting = Setting(dataset, dataset, options, workspace.processed / dataset)
    process(Draw(dataset, dataset, options, workspace.raw / dataset, setting.replicate(0)))


def run(
    setting: str | None = None,
    method: str | None = None,
    study: str | None = None,
    *,
    strict: bool = False,
    **where: str | None,
) -> None:
    """Tune and fit all methods in all settings, or some, side by side: here, on SLURM or Ray."""
    from benchmark.execution.run import asked
    from benchmark.execution.run import run as run_all
    from benchmark.studies import Workspace

    workspace = Workspace(study)
    launch = asked(workspace.params.launch, **where)
    run_all(workspace, launch, setting, method, strict=strict)


def export_recbole(dataset: str) -> None:
    """Write the processed splits of one dataset as atomic files for stock RecBole."""
    from benchmark.data import atomic_files
    from benchmark.studies import Workspace, first_splits

    processed = first_splits(Workspace().processed / dataset)
    atomic_files.export_recbole(processed, RECBOLE / dataset)


def report(study: str | None = None) -> None:
    """Write the tables, pictures and pages of the benchmark or of a study."""
    from benchmark.reporting.report import write
    from benchmark.studies import Workspace

    write(Workspace(study))


def restore(study: str) -> None:
    """Bring back the published records of a study, so that `run` makes only what is missing."""
    from benchmark.execution.archive import restore as restore_records
    from benchmark.studies import Workspace

    workspace = Workspace(study)
    print(f"{restore_records(workspace)} records restored to {workspace.runs}")


def show(study: str | None = None) -> None:
    """Print the leaderboard and where the pictures lie."""
    from benchmark.reporting.leaderboard import plain
    from benchmark.reporting.records import read
    from benchmark.reporting.table import build
    from benchmark.studies import Workspace

    workspace = Workspace(study)
    for results in read(workspace):
        print(plain(build(results, workspace.params)), end="\n\n")
    page = workspace.results / "index.html"
    print(f"page: {page}" if page.is_file() else "no page yet: run `python -m benchmark report`")
    for picture in sorted((workspace.results / "plots").glob("*/*.svg")):
        print(f"picture: {picture}")


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


def new_dataset(name: str, csv: str) -> None:
    """Write an adapter and its fixture from a CSV file with impressions, clicks and conversions."""
    from benchmark.scaffold.dataset import create

    written = create(name, Path(csv))
    print(f"wrote datasets/{name}.py and tests/helpers/layouts/{name}.py.")
    for role, column in written.columns.found.items():
        print(f"  matched: {column} is the {role}")
    for sentence in written.columns.missing:
        print(f"  not matched: {sentence}")
    for column in written.columns.others:
        print(f"  not used: {column}")
    print("Next:")
    print("  replace every TODO in the adapter and in the entry that it cites, the last of")
    print(
        "  datasets/references.bib; features are ids alone, as others may be from after the click;"
    )
    print(f"  copy {csv} to {MANUAL / name}/ and add `- {name}` to the datasets in params.yaml;")
    print("  run `python -m benchmark cards`, then `make test`.")


@dataclass(frozen=True)
class Command:
    """A subcommand with the help of its arguments.

    "--" begins the name of an option, "--!" that of a switch, "?" an argument that may be left out.
    """

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
    "--!strict": "end with an error if a task failed",
    "--options": "of a cluster's jobs, as YAML: 'partition: gpu, gpus_per_node: 1, time: 240'",
}
COMMANDS = (
    Command(data, {"?dataset": DATASET} | IN_STUDY),
    Command(download, {"dataset": DATASET} | IN_STUDY),
    Command(preprocess, {"dataset": DATASET} | IN_STUDY),
    Command(run, {"?setting": SETTING, "?method": METHOD} | IN_STUDY | LAUNCH),
    Command(report, IN_STUDY),
    Command(show, IN_STUDY),
    Command(restore, {"study": "a folder in studies/"}),
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
    Command(
        new_dataset,
        {
            "name": "of the new file in datasets/, in snake_case",
            "csv": "a CSV file with a header, one impression per row, its click and its conversion",
        },
    ),
)


def _add(parser: argparse.ArgumentParser, name: str, about: str) -> None:
    if name.startswith("--!"):
        parser.add_argument(f"--{name[3:]}", help=about, action="store_true")
    elif name.startswith("?"):
        parser.add_argument(name[1:], help=about, nargs="?")
    else:
        parser.add_argument(name, help=about)


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
            _add(subparser, name, help_)
        subparser.set_defaults(function=command.function)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; bad input ends in one sentence, not a traceback."""
    chosen = vars(parser().parse_args(arguments))
    function = chosen.pop("function")
    chosen.pop("subcommand")
    try:
        function(**chosen)
    except EXPECTED as error:
        message = error.args[0] if isinstance(error, LookupError) and error.args else error
        print(f"error: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; finished work is kept: run it again to go on", file=sys.stderr)
        return 130
    return 0
