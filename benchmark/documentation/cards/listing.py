"""All datasets at a glance: what each has, how to get it, and what of it is here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from benchmark import registry
from benchmark.data.dataset import Dataset
from benchmark.data.fetching.raw import manifest
from benchmark.data.fetching.tokens import token_variable
from benchmark.documentation.cards.records import Facts
from benchmark.documentation.cards.records import read as read_facts
from benchmark.schema import funnel
from benchmark.splits import schema_of
from benchmark.studies import first_splits

NOTHING = "–"
WIDEST = 26  # characters of a licence in the printed table
LEGEND = f"""\
{NOTHING}: unknown or absent. verified: yes if every raw file equals a SHA-256 known before it was
got; first use: the hash was set by this very download, and later ones must equal it."""
HEADERS = ("name", "stages", "rows", "size", "licence", "how to get it", "here", "verified")


@dataclass(frozen=True)
class Folders:
    """Where data lies on this machine, and where cards and facts are written."""

    raw: Path
    processed: Path
    cards: Path


@dataclass(frozen=True)
class Item:
    """A dataset with what is known of it: declared, measured, present."""

    name: str
    dataset: Dataset
    facts: Facts | None
    folders: Folders

    @property
    def processed(self) -> Path:
        """Where its splits lie on this machine, if they do."""
        return first_splits(self.folders.processed / self.name)

    @property
    def stages(self) -> str:
        """The stages that the log has, and the proxy label if it has no conversion."""
        return funnel(self.dataset.stages, self.dataset.proxy_label)

    @property
    def counted(self) -> str:
        """How many rows were counted in the copy that its card is about."""
        return f"{self.facts.rows:,}" if self.facts else NOTHING

    @property
    def rows(self) -> str:
        """How many rows are ready here, or were counted elsewhere."""
        if self.here == "ready":
            return f"{sum(schema_of(self.processed).rows.values()):,}"
        return self.counted

    @property
    def size(self) -> str:
        """What its raw files take, as far as their sizes are known."""
        record = manifest(self.folders.raw / self.name)
        entries = record["files"] if record else []
        sizes = [entry["size"] for entry in entries] or [
            source.size for source in self.dataset.sources if source.size
        ]
        return readable(sum(sizes)) if sizes else NOTHING

    @property
    def way(self) -> str:
        """How to get it, in a word or two."""
        sources = self.dataset.sources
        if not sources:
            return "simulated"
        if self.dataset.base:
            return f"as {self.dataset.base}"
        if any(source.url is None for source in sources):
            return "by hand"
        tokens = {token_variable(source.url or "") for source in sources} - {None}
        return f"downloaded, maybe with {', '.join(map(str, tokens))}" if tokens else "downloaded"

    @property
    def here(self) -> str:
        """How far it has come on this machine."""
        if (self.processed / "schema.json").is_file():
            return "ready"
        return "raw" if manifest(self.folders.raw / self.name) else NOTHING

    @property
    def verified(self) -> str:
        """Whether the raw files here are known to be the published ones."""
        if record := manifest(self.folders.raw / self.name):
            pins = {entry.get("pin") for entry in record["files"]}
            unsure = "first use" if pins == {"first use"} else "no"
            return "yes" if record["verified"] else unsure
        if self.here == "ready":
            return "yes" if schema_of(self.processed).verified else "no"
        return NOTHING


def items(folders: Folders) -> list[Item]:
    """Return all datasets with their default options, by name."""
    return [
        Item(name, registry.load("datasets", name, Dataset)(), _facts(name, folders), folders)
        for name in registry.names("datasets")
    ]


def _facts(name: str, folders: Folders) -> Facts | None:
    return read_facts(folders.cards / f"{name}.json")


def table(folders: Folders) -> str:
    """Return what the subcommand prints: plain, aligned, one line per dataset."""
    rows = [
        (
            item.name, item.stages, item.rows, item.size, _short(item.dataset.licence), item.way,
            item.here, item.verified,
        )
        for item in items(folders)
    ]  # fmt: skip
    text = tabulate(
        rows, HEADERS, colalign=("left", "left", "right", "right"), disable_numparse=True
    )
    return f"{text}\n\n{LEGEND}"


def _short(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1].rstrip(' ,;')}…"


def readable(size: float) -> str:
    """Return bytes in the unit that keeps the number small."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
