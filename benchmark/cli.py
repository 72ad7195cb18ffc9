"""The subcommands of the command line; each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchmark.errors import ROOT, sentence

if TYPE_CHECKING:
    from benchmark.studies import Workspace

MANUAL, RECBOLE = Path("data/manual"), Path("data/recbole")
METHODS = Path("docs/methods.md")
DATASET = "a file name in datasets/, without .py"
SETTING = "a setting: a dataset, or a factor at a level such as overlap-0.5; by default all"
METHOD = "a file name in methods/, without .py"
ASSIGNMENT = "change the params for this call, as in protocol.max_epochs=3; may be repeated"
VERSION = "print the version and exit"
N = TypeVar("N", int, float)
STUDY = "a folder in studies/, whose params, data and results are used instead of the benchmark's"


def check(workspace: Workspace) -> int:
    """Check params, methods, data, disk and memory, and estimate the time, before a run."""
    from benchmark.preflight.findings import findings

    mistaken = False
    for finding in findings(workspace):
        mistaken = mistaken or finding.kind == "error"
        print(finding)
    return int(mistaken)


def data(workspace: Workspace, dataset: str | None = None) -> None:
    """Fetch and process the data of all settings, or of one dataset."""
    from benchmark.data.prepare import prepare, report
    from benchmark.execution.executors.local import cores

    failures = prepare(workspace, cores(), dataset)
    report(failures)
    if dataset is not None and failures:
        raise ValueError(f"{dataset} could not be prepared")


def download(dataset: str, workspace: Workspace) -> None:
    """Fetch or take the raw files of one dataset."""
    from benchmark.data import prepare
    from benchmark.data.fetching.raw import origins

    if came_from := origins(prepare.download(workspace, dataset)):
        print(f"{dataset}: {came_from}")


def preprocess(dataset: str, workspace: Workspace) -> None:
    """Write the processed splits of one dataset with its options, or its first replicate alone."""
    from benchmark.data.prepare import Draw, process
    from benchmark.studies import Setting

    options = workspace.params.options.get(dataset, {})
    setting = Setting(dataset, dataset, options, workspace.processed / dataset)
    process(Draw(dataset, dataset, options, workspace.raw / dataset, setting.replicate(0)))


def run(
    workspace: Workspace,
    setting: str | None = None,
    method: str | None = None,
    *,
    strict: bool = False,
    **where: str | None,
) -> None:
    """Tune and fit all methods in all settings, or some, side by side: here, on SLURM or Ray."""
    from benchmark.configuration.names import check_options
    from benchmark.execution.run import overridden
    from benchmark.execution.run import run as run_all

    check_options(workspace)
    launch = overridden(workspace.params.launch, **where)
    run_all(workspace, launch, setting, method, strict=strict)


def try_(workspace: Workspace, method: str | None = None, keep: str | None = None) -> int:
    """Test a method and show its row of a small study, or without one run the whole pipeline."""
    import tempfile

    from benchmark import tryout

    if method is not None:
        faults = tryout.contract_faults(method)
        if faults is None:
            print("not tested: the contract tests lie in tests/ of the project, which is not here")
        for fault in faults or ():
            print(fault)
        if faults:
            raise ValueError(f"{method} breaks its contract; mend what is listed and try it again")
    with tempfile.TemporaryDirectory() as temporary:
        small = tryout.small(method, workspace.changes, Path(keep or temporary))
        if method is None and check(small):
            return 1
        table, absent = tryout.table(small)
        print(table)
        if absent:
            raise ValueError("; ".join(absent))
        print("This setting is small: it shows that a method works, not how it ranks.")
        if keep is not None:
            report(small)
            print(f"page: {small.results / 'index.html'}")
    return 0


def export_recbole(dataset: str, workspace: Workspace) -> None:
    """Write the processed splits of one dataset as atomic files for stock RecBole."""
    from benchmark.data import atomic_files
    from benchmark.studies import first_splits

    processed = first_splits(workspace.processed / dataset)
    atomic_files.export_recbole(processed, RECBOLE / dataset)


def report(workspace: Workspace) -> None:
    """Write the tables, pictures and pages of the benchmark or of a study."""
    from benchmark.reporting.report import write

    write(workspace)


def restore(workspace: Workspace) -> None:
    """Bring back the published records, so that `run` makes only what is missing."""
    from benchmark.execution.archive import restore as restore_records

    written, left = restore_records(workspace)
    print(f"{written} records restored to {workspace.runs}")
    for folder in left:
        print(
            f"warning: {folder} was left as it is: its records are of other code, data or protocol "
            "than the published ones; delete it to bring those back",
            file=sys.stderr,
        )


def score(
    predictions: str,
    workspace: Workspace,
    setting: str | None = None,
    replicate: str | None = None,
) -> None:
    """Recompute every metric from predictions and data alone and compare it with the record."""
    from benchmark.execution.scoring import described
    from benchmark.execution.scoring import score as score_all

    number = None if replicate is None else _number("replicate", replicate, int, 0)
    wrong = 0
    for scored in score_all(Path(predictions), workspace, setting, number):
        print(described(scored))
        wrong += bool(scored.faults)
    if wrong:
        raise ValueError(f"{wrong} file(s) contradict the record")


def verify(
    workspace: Workspace,
    setting: str | None = None,
    method: str | None = None,
    *,
    adopt: bool = False,
    workers: str | None = None,
    **sample: str | None,
) -> int:
    """Repeat a random sample of the fits on record and report which of them reproduce."""
    from benchmark.execution import verification
    from benchmark.execution.jobs import workers as open_workers
    from benchmark.execution.run import tasks

    kinds: dict[str, tuple[Callable[[str], float], int]] = {
        "fits": (int, 1), "seed": (int, 0), "tolerance": (float, 0),
    }  # fmt: skip
    options: dict[str, Any] = {
        name: _number(name, text, *kinds[name]) for name, text in sample.items() if text is not None
    }
    count = None if workers is None else _number("workers", workers, int, 1)
    opened = open_workers(workspace.params.protocol, count)
    remade = verification.verify(tasks(workspace, setting, method), opened, **options)
    differing = [one for one in remade if one.differences]
    for one in differing:
        print(f"{one.task}, {one.where}: {'; '.join(one.differences[:3])}")
    print(f"{len(remade) - len(differing)} of {len(remade)} fits reproduce their numbers")
    for task, reason in verification.adopt(remade) if adopt else ():
        print(f"{task}: {'adopted' if reason is None else f'not adopted: {reason}'}")
    return int(bool(differing))


def _number(option: str, text: str, kind: Callable[[str], N], least: int) -> N:
    """Return the number after an option; another text or a lower number is an error."""
    try:
        value = kind(text)
        if least <= value < math.inf:
            return value
    except ValueError:
        pass
    whole = "whole " * (kind is int)
    raise ValueError(f"--{option} is {text!r}; it must be a {whole}number of at least {least}")


def optuna(workspace: Workspace) -> None:
    """Open the searches of the benchmark or of a study in optuna-dashboard."""
    from importlib.util import find_spec

    from benchmark.execution.searches import address, export

    path, count = export(workspace)
    print(f"{count} searches are in {path}")
    if find_spec("optuna_dashboard") is None:
        print(f"pip install optuna-dashboard, then: optuna-dashboard {address(path)}")
        return
    from optuna_dashboard import run_server

    run_server(address(path))


def show(workspace: Workspace) -> None:
    """Print the leaderboard and the paths of its page and pictures."""
    from benchmark.reporting.leaderboard import legend, plain
    from benchmark.reporting.records import read
    from benchmark.reporting.table import build

    for results in read(workspace):
        print(plain(build(results, workspace.params)), end="\n\n")
    print(legend(workspace.params.leaderboard), end="\n\n")
    page = workspace.results / "index.html"
    print(f"page: {page}" if page.is_file() else "no page yet: run `python -m benchmark report`")
    for picture in sorted((workspace.results / "plots").glob("*/*.svg")):
        print(f"picture: {picture}")


def compare(method: str, workspace: Workspace) -> None:
    """Compare a method with all others of the leaderboard or of a study, on a page as well."""
    from benchmark.reporting import versus

    matchups = versus.compare(method, workspace)
    print(versus.plain(matchups))
    print(f"page: {versus.write(method, matchups, workspace)}")


def release(version: str, *, dry_run: bool = False) -> None:
    """Check the published results, then commit, tag and pack a release with what moved since."""
    from datetime import UTC, datetime

    from benchmark.releases.making import Plan

    plan = Plan(version, datetime.now(UTC).date())
    obstacles = list(plan.obstacles())
    for obstacle in obstacles:
        print(f"- {obstacle}")
    if obstacles:
        raise ValueError(f"nothing was written, for {len(obstacles)} reason(s) above")
    print(*(f"- {change}" for change in plan.changes), sep="\n")
    if dry_run:
        print(f"would write {', '.join(sorted(map(str, plan.texts())))}")
        return
    print(f"release {version} is committed and tagged; its archive is in {plan.make()}")


def datasets(workspace: Workspace) -> None:
    """Print all datasets: what they have, how to get them, what is here."""
    from benchmark.documentation.cards import CARDS
    from benchmark.documentation.cards.listing import Folders, table

    _search_plugins(workspace)
    print(table(Folders(workspace.raw, workspace.processed, CARDS)))


def cards(workspace: Workspace) -> None:
    """Write the cards of all datasets to docs/datasets/, with counts of those that are ready."""
    from benchmark.documentation.cards import CARDS
    from benchmark.documentation.cards.listing import Folders
    from benchmark.documentation.cards.write import write_all

    _search_plugins(workspace)
    folders = Folders(workspace.raw, workspace.processed, CARDS)
    print(f"wrote {write_all(folders)} and a card per dataset in {CARDS}/")


def methods(workspace: Workspace) -> None:
    """Write the list of all methods to docs/methods.md."""
    from benchmark.documentation.catalogue import markdown
    from benchmark.files import write_text

    _search_plugins(workspace)
    write_text(METHODS, markdown())
    print(f"wrote {METHODS}")


def new_method(name: str, cite: str | None = None) -> None:
    """Write the first version of a method's file, which already trains."""
    from benchmark.scaffold.method import create

    path = create(name, cite)
    entry = "" if cite else " and in the entry that it cites, the last of methods/references.bib"
    print(f"wrote {path.parent.name}/{path.name}. Next:")
    print(f"  write its loss, and run `python -m benchmark try {name}` after each change;")
    print(f"  replace every TODO in it{entry};")
    print(f"  add `- {name}` to the methods in params.yaml;")
    print("  run `python -m benchmark methods`, then `make test`.")


def new_dataset(name: str, csv: str, column: Sequence[str] = ()) -> None:
    """Write an adapter and its fixture from a CSV file with impressions, clicks and conversions."""
    from benchmark.scaffold.dataset import create

    written = create(name, Path(csv), column)
    print(f"wrote datasets/{name}.py and tests/helpers/layouts/{name}.py.")
    for role, matched in written.columns.roles.items():
        print(f"  matched: {matched} is the {role}")
    for missing in written.columns.missing:
        print(f"  not matched: {missing}")
    for other in written.columns.others:
        print(f"  not used: {other or 'a column without a name'}")
    print(f"  split: {written.columns.split}")
    print("Next:")
    print("  to give another column a role, delete both files and add `--column ROLE=NAME`;")
    print("  replace every TODO in the adapter and in the entry that it cites, the last of")
    print(
        "  datasets/references.bib; features are ids alone, as others may be from after the click;"
    )
    print(f"  copy {csv} to {MANUAL / name}/ and add `- {name}` to the datasets in params.yaml;")
    print(f"  run `python -m benchmark data {name}`, which reads the file,")
    print("  then `python -m benchmark cards` and `make test`.")


@dataclass(frozen=True)
class Command:
    """A subcommand with the help of its arguments.

    ``--`` begins the name of an option, ``--!`` that of a switch, ``--*`` that of an option that
    may be repeated, and ``?`` that of an argument that may be left out. After a space may stand
    what its value is called. The help of the whole program only names ``rare`` ones.
    """

    function: Callable[..., int | None]
    arguments: Mapping[str, str] = field(default_factory=dict)
    rare: bool = False

    @property
    def name(self) -> str:
        """The word typed."""
        return self.function.__name__.strip("_").replace("_", "-")

    @property
    def help(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").splitlines()[0]


SETTINGS = {"--*set KEY=VALUE": ASSIGNMENT}
IN_STUDY = {"--study NAME": STUDY} | SETTINGS
LAUNCH = {
    "--on WHERE": "local, slurm or ray; by default what params.yaml says under `launch`, or local",
    "--workers N": "how many fits run at a time; by default one per core or GPU, on a cluster 100",
    "--!strict": "end with an error if a task failed",
    "--options YAML": "of a cluster's jobs, as in 'partition: gpu, gpus_per_node: 1, time: 240'",
}
COMMANDS = (
    Command(check, IN_STUDY),
    Command(data, {"?dataset": DATASET} | IN_STUDY),
    Command(run, {"?setting": SETTING, "?method": METHOD} | IN_STUDY | LAUNCH),
    Command(
        try_,
        {
            "?method": METHOD,
            "--keep FOLDER": "where data, results and a page are kept; by default nowhere",
        }
        | SETTINGS,
    ),
    Command(report, IN_STUDY),
    Command(show, IN_STUDY),
    Command(compare, {"method": METHOD} | IN_STUDY),
    Command(optuna, IN_STUDY),
    Command(
        score,
        {
            "predictions": "a Parquet file with row, cvr and perhaps ctr, or a folder of such",
            "--setting NAME": "their setting; by default the one in whose folder they are",
            "--replicate N": "the number of their replicate; by default the file's name, or 0",
        }
        | IN_STUDY,
    ),
    Command(
        verify,
        {
            "?setting": SETTING,
            "?method": METHOD,
            "--fits N": "how many final fits and how many trials of each method; by default 1",
            "--seed N": "the seed of the sample; by default 0",
            "--tolerance X": "how far numbers may differ; by default 1e-9, predictions not at all",
            "--workers N": "how many fits run at a time; by default one per core or GPU",
            "--!adopt": "give records of other code today's keys where their sample reproduces",
        }
        | IN_STUDY,
    ),
    Command(
        new_method,
        {
            "name": "the name of the new file in methods/, in snake_case",
            "--cite KEY": "its paper's key in methods/references.bib; by default a placeholder",
        },
    ),
    Command(
        new_dataset,
        {
            "name": "the name of the new file in datasets/, in snake_case",
            "csv": "a CSV file with a header, one impression per row, its click and its conversion",
            "--*column ROLE=NAME": "the column that is the user, item, time, click or conversion, "
            "where its name does not tell; may be repeated",
        },
    ),
    Command(datasets, SETTINGS),
    Command(download, {"dataset": DATASET} | IN_STUDY, rare=True),
    Command(preprocess, {"dataset": DATASET} | IN_STUDY, rare=True),
    Command(export_recbole, {"dataset": DATASET}, rare=True),
    Command(
        restore, {"?study": "a folder in studies/; by default the benchmark itself"}, rare=True
    ),
    Command(
        release,
        {
            "version": "greater than the last one, as PEP 440 writes it, such as 0.2.0",
            "--!dry-run": "check and print what would change, and write nothing",
        },
        rare=True,
    ),
    Command(cards, SETTINGS, rare=True),
    Command(methods, SETTINGS, rare=True),
)
RARE = "rarely used, with a --help of their own:\n  "


WITHOUT_WORKSPACE = {new_method, new_dataset, release}
GOES_ON = {run, data, download, preprocess}  # begun again, each does only what is missing
UNCHECKED = {check, datasets, cards, methods}  # one tells all mistakes itself, lists go without
OF_RECORDS = {report, show, compare, score, optuna}  # need no file of a method or dataset any more


class _Version(argparse.Action):
    """Print the version, which is read for this alone."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from benchmark.release import release

        print(*release(ROOT) or ("unknown",))
        parser.exit()


def _names(folder: str) -> Callable[..., list[str]]:
    """Return what completes the name of a plugin in the shell."""

    def complete(**_: object) -> list[str]:
        from benchmark import registry

        return registry.names(folder)

    return complete


COMPLETIONS: dict[str, Callable[..., list[str]]] = {
    "dataset": _names("datasets"),
    "method": _names("methods"),
    "--study": lambda **_: sorted(path.name for path in Path("studies").glob("[!_]*/")),
}


def _add(parser: argparse.ArgumentParser, name: str, about: str) -> None:
    marked, _, value = name.partition(" ")
    plain = marked.replace("--!", "--").replace("--*", "--").removeprefix("?")
    kinds: dict[str, dict[str, Any]] = {
        "--!": {"action": "store_true"},
        "--*": {"action": "append", "default": []},
        "?": {"nargs": "?"},
    }
    more = next((kind for mark, kind in kinds.items() if name.startswith(mark)), {})
    if value:
        more = more | {"metavar": value}
    argument: Any = parser.add_argument(plain, help=about, **more)
    argument.completer = COMPLETIONS.get(plain)  # read by argcomplete


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    whole = argparse.ArgumentParser(
        prog="python -m benchmark",
        description="CVR debiasing benchmark",
        epilog=RARE + ", ".join(command.name for command in COMMANDS if command.rare),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help=VERSION
    )
    subcommands = whole.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    for command in COMMANDS:
        listed: dict[str, Any] = {} if command.rare else {"help": command.help}
        subparser = subcommands.add_parser(command.name, description=command.help, **listed)
        for name, about in command.arguments.items():
            _add(subparser, name, about)
        subparser.set_defaults(function=command.function)
    return whole


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; an error ends in one sentence, not a traceback."""
    whole = parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(whole)
    parsed = vars(whole.parse_args(arguments))
    function = parsed.pop("function")
    del parsed["subcommand"]
    try:
        if function not in WITHOUT_WORKSPACE:
            study, settings = parsed.pop("study", None), parsed.pop("set", None)
            parsed["workspace"] = _workspace(function, study, settings)
        code = function(**parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        return _end_of_pipe()
    except KeyboardInterrupt:
        again = "; finished work is kept: run it again to go on" * (function in GOES_ON)
        print(f"interrupted{again}", file=sys.stderr)
        return 130
    except Exception as error:  # noqa: BLE001 (told in one sentence, whatever it is)
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 1
    return int(code or 0)


def _workspace(
    function: Callable[..., int | None], study: str | None, settings: list[str] | None
) -> Workspace:
    """Return what a subcommand works in; one that takes settings needs params without mistakes."""
    from benchmark.configuration.names import check_metrics, check_names
    from benchmark.studies import Workspace

    workspace = Workspace(study, tuple(settings or ()))
    if settings is not None and function not in UNCHECKED:
        (check_metrics if function in OF_RECORDS else check_names)(workspace.params)
    return workspace


def _search_plugins(workspace: Workspace) -> None:
    """Read the params, where there are any: what they name is searched from then on."""
    if Path("params.yaml").is_file():
        _ = workspace.params


def _end_of_pipe() -> int:
    """End quietly, as if by SIGPIPE, where the reader, such as `head`, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141
