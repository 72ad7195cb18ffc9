"""The verbs of the command line; each imports what it needs when it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

RAW, READY, MANUAL = Path("data/raw"), Path("data/ready"), Path("data/manual")
RECBOLE = Path("data/recbole")
PINS = Path("datasets/pins.json")
RUNS, RESULTS = Path("results/runs"), Path("results")
METHODS, CARDS = Path("docs/methods.md"), Path("docs/datasets")
DATASET = "a file name in datasets/, without .py"
METHOD = "a file name in methods/, without .py"


def download(dataset: str) -> None:
    """Fetch or take the raw files of one dataset."""
    from benchmark import registry
    from benchmark.data.dataset import Dataset
    from benchmark.data.download import fetch
    from benchmark.data.raw import origins
    from benchmark.params import Params

    options = Params.read().options.get(dataset, {})
    chosen = registry.load("datasets", dataset, Dataset)(**options)
    fetch(dataset, chosen.sources, RAW / dataset, MANUAL / (chosen.base or dataset), PINS)
    if found := origins(RAW / dataset):
        print(f"{dataset}: {found}")


def preprocess(dataset: str) -> None:
    """Write the ready splits of one dataset."""
    from benchmark import registry
    from benchmark.data import download
    from benchmark.data.dataset import Dataset
    from benchmark.data.preprocess import preprocess as make_ready
    from benchmark.params import Params

    options = Params.read().options.get(dataset, {})
    kind = registry.load("datasets", dataset, Dataset)
    raw = RAW / dataset
    make_ready(kind(**options), dataset, raw, READY / dataset, verified=download.is_verified(raw))


def run(dataset: str, method: str) -> None:
    """Tune one method on one dataset and run it with every seed."""
    from benchmark.params import Params
    from benchmark.training.run import run as run_task

    run_task(READY / dataset, method, Params.read().protocol, RUNS / dataset / method)


def export_recbole(dataset: str) -> None:
    """Write the ready splits of one dataset as atomic files for stock RecBole."""
    from benchmark.data import atomic_files

    atomic_files.export_recbole(READY / dataset, RECBOLE / dataset)


def leaderboard() -> None:
    """Write the tables, the record of every seed and the references to results/."""
    from benchmark.params import Params
    from benchmark.reporting.leaderboard import write
    from benchmark.reporting.records import read

    params = Params.read()
    write(read(params, RUNS, READY), params, RESULTS)


def plots() -> None:
    """Draw the pictures in results/plots and write results/index.html."""
    from benchmark.params import Params
    from benchmark.reporting.citations import references
    from benchmark.reporting.page import write
    from benchmark.reporting.plots import draw
    from benchmark.reporting.records import read
    from benchmark.reporting.table import build

    params = Params.read()
    logs = read(params, RUNS, READY)
    tables = [build(log, params) for log in logs]
    write(tables, draw(tables, RESULTS / "plots"), references(logs), RESULTS / "index.html")


def show() -> None:
    """Print the leaderboard and where the pictures lie."""
    from benchmark.params import Params
    from benchmark.reporting.leaderboard import plain
    from benchmark.reporting.records import read
    from benchmark.reporting.table import build

    params = Params.read()
    for log in read(params, RUNS, READY):
        print(plain(build(log, params)), end="\n\n")
    page = RESULTS / "index.html"
    print(f"page: {page}" if page.is_file() else "no page yet: run `python -m benchmark plots`")
    for picture in sorted((RESULTS / "plots").glob("*/*.svg")):
        print(f"picture: {picture}")


def datasets() -> None:
    """Print all datasets: what they have, how to get them, what is here."""
    from benchmark.cards.listing import Folders, table

    print(table(Folders(RAW, READY, CARDS)))


def cards() -> None:
    """Write the cards of all datasets to docs/datasets/, with counts of those that are ready."""
    from benchmark.cards.listing import Folders
    from benchmark.cards.write import write_all

    print(f"wrote {write_all(Folders(RAW, READY, CARDS))} and a card per dataset in {CARDS}/")


def methods() -> None:
    """Write the list of all methods to docs/methods.md."""
    from benchmark.catalogue import markdown
    from benchmark.files import write_text

    write_text(METHODS, markdown())
    print(f"wrote {METHODS}")


def new_method(name: str) -> None:
    """Write the first version of a method's file, which works."""
    from benchmark.new_method import create

    path = create(name)
    print(f"wrote {path.parent.name}/{path.name}. Next:")
    print("  replace every TODO in it;")
    print(f"  add `- {name}` to the methods in params.yaml;")
    print("  run `python -m benchmark methods`, then `make test`.")


@dataclass(frozen=True)
class Command:
    """A verb with its positional arguments and their help."""

    function: Callable[..., None]
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        """The word typed."""
        return self.function.__name__.replace("_", "-")

    @property
    def help(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").splitlines()[0]


COMMANDS = (
    Command(download, {"dataset": DATASET}),
    Command(preprocess, {"dataset": DATASET}),
    Command(run, {"dataset": DATASET, "method": METHOD}),
    Command(leaderboard),
    Command(plots),
    Command(show),
    Command(export_recbole, {"dataset": DATASET}),
    Command(datasets),
    Command(cards),
    Command(methods),
    Command(new_method, {"name": "of the new file in methods/, in snake_case"}),
)
