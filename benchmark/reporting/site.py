"""What stands on every page of the results: its title, the benchmark's citation, other pages."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmark import parquet
from benchmark.configuration import documents
from benchmark.execution import archive
from benchmark.references import is_widened
from benchmark.studies import STUDIES, Workspace

NAME = "CVR debiasing benchmark"
MAIN = "Main leaderboard"
CITATION = Path("CITATION.cff")
FINAL = re.compile(r"/(default|tuned)/\d+\.json$")  # paths of records of replicates, not of trials
PAGES = ("index.html", "leaderboard.md", "reproduction.md", "regret.md")


def title(study: str | None) -> str:
    """Return the title of a study, as its params give it, or of the benchmark itself."""
    if study is None:
        return NAME
    path = STUDIES / study / "params.yaml"
    content = _content(path)
    return str(content.get("title", study.replace("_", " ").capitalize()))


def about(workspace: Workspace) -> dict[str, Any]:
    """Return title, study, version and citation, as the file for citations tells them."""
    known = _content(CITATION)
    version = str(known.get("version", "unknown"))
    return {
        "title": title(workspace.study),
        "study": workspace.study,
        "version": version,
        "citation": bibtex(known),
    }


def _content(path: Path) -> dict[str, Any]:
    """Return what a file says by key; nothing where there is none."""
    content: dict[str, Any] = documents.read(path).plain() if path.is_file() else {}
    return content


class Link(NamedTuple):
    """A page of the results: its title, how much it rests on, and the path to it."""

    title: str
    extent: str
    path: str


def others(workspace: Workspace) -> list[Link]:
    """Return links to the pages of the benchmark and of its studies that are there.

    The study with most replicates, which finds the smallest differences, comes first.
    """
    links = []
    for folder in Path("results/studies").glob("*/"):
        known = [folder / name for name in PAGES if (folder / name).is_file()]
        page = next(iter([*known, *sorted(folder.glob("*.md"))]), None)
        if page is not None and folder.name != workspace.study:
            extent = _extent(folder / archive.FILE)
            link = Link(title(folder.name), str(extent), _relative(page, workspace))
            links.append((-extent.replicates, -extent.methods, link))
    ordered = [link for *_, link in sorted(links)]
    if workspace.study is None:
        return ordered
    return [Link(MAIN, "", _relative(Path("results/index.html"), workspace)), *ordered]


def _relative(page: Path, workspace: Workspace) -> str:
    return Path(os.path.relpath(page, workspace.results)).as_posix()


class _Extent(NamedTuple):
    """Of how many methods, settings and replicates of a setting the records of a study are."""

    methods: int = 0
    settings: int = 0
    replicates: int = 0

    def __str__(self) -> str:
        if not self.replicates:
            return ""
        settings = f"{self.settings} settings, " if self.settings > 1 else ""
        return f"{self.methods} methods, {settings}{self.replicates} replicates"


def _extent(records: Path) -> _Extent:
    """Return the extent of published records; nothing where none is of a final fit."""
    if not records.is_file():
        return _Extent()
    paths = parquet.scan(records).select("path").collect()["path"]
    fits = [path.split("/") for path in paths if FINAL.search(path)]
    replicates = Counter(setting for setting, _ in {(fit[0], fit[-1]) for fit in fits})
    methods = {method for _, method, *_ in fits if not is_widened(method)}
    return _Extent(len(methods), len(replicates), max(replicates.values(), default=0))


def bibtex(known: Mapping[str, Any]) -> str:
    """Return the entry of the benchmark, from the content of the file for citations."""
    names = [_author(author) for author in known.get("authors", [])]
    fields = {
        "title": f"{{{known.get('title', NAME)}}}",
        "author": " and ".join(names),
        "year": str(known.get("date-released", ""))[:4],
        "version": str(known.get("version", "unknown")),
        "url": known.get("url") or known.get("repository-code", ""),
        "doi": known.get("doi", ""),
    }
    lines = [f"  {name} = {{{value}}},\n" for name, value in fields.items() if value]
    return f"@misc{{cvr_debiasing_benchmark,\n{''.join(lines)}}}"


def _author(author: dict[str, str]) -> str:
    if "name" in author:
        return f"{{{author['name']}}}"
    return ", ".join(filter(None, (author.get("family-names"), author.get("given-names"))))
