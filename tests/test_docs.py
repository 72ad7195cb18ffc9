"""The documentation: it builds, its links lead somewhere, and its reference is complete."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt

from benchmark import registry
from benchmark.cli import COMMANDS
from benchmark.documentation.reference.markdown import slug
from benchmark.documentation.reference.pages import FOLDER, pages
from benchmark.metrics.measures import BY_SPACE
from benchmark.registry import ROOT
from benchmark.studies import StudyParams
from benchmark.training import losses
from benchmark.training.batch import Batch, Prediction, Probability

DOCS = ROOT / "docs"
BUILT_HERE = {DOCS / "reference" / "api", DOCS / "results"}
NOTEBOOK = DOCS / "tutorial-notebook.ipynb"
WRITTEN = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    NOTEBOOK,
    *(path for path in sorted(DOCS.rglob("*.md")) if not BUILT_HERE & set(path.parents)),
]
HOME_MADE = (
    "told apart", "tell apart", "told from", "embedded world", "knob", "ready data", "would-be",
    "by hand, verbs",
)  # fmt: skip


class Page(HTMLParser):
    """The links of a page and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.links |= {link for key in ("href", "src") if (link := named.get(key))}
        self.anchors |= {anchor for key in ("id", "name") if (anchor := named.get(key))}


def dead_links(site: Path) -> list[str]:
    """Return each link of a built site that leads nowhere, with its page."""
    found = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    return sorted(
        f"{path.relative_to(site.resolve())}: {link}"
        for path, page in found.items()
        for link in page.links
        if not _leads_somewhere(link, path, found)
    )


def _leads_somewhere(link: str, path: Path, found: dict[Path, Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return is_well_formed(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    page = found.get(target)
    return target.is_file() if page is None else unquote(parts.fragment) in page.anchors


def is_well_formed(link: str) -> bool:
    """Return whether an external link can be one: nothing is fetched."""
    parts = urlsplit(link)
    if parts.scheme == "data":
        return True
    return parts.scheme in ("https", "http") and "." in parts.netloc and not re.search(r"\s", link)


def cells(kind: str) -> list[dict[str, Any]]:
    """Return the notebook's cells of a kind, ``code`` or ``markdown``."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def prose(path: Path) -> str:
    """Return the Markdown of a file; of a notebook, that of its cells."""
    if path != NOTEBOOK:
        return path.read_text(encoding="utf-8")
    return "\n\n".join("".join(cell["source"]) for cell in cells("markdown"))


def links(path: Path) -> Iterator[str]:
    """Yield the links and images of a Markdown file."""
    for block in MarkdownIt().enable("table").parse(prose(path)):
        for token in block.children or []:
            yield from (str(v) for k in ("href", "src") if (v := token.attrGet(k)))


@cache
def anchors(path: Path) -> set[str]:
    """Return the anchors of a Markdown file's headings."""
    blocks = MarkdownIt().parse(path.read_text(encoding="utf-8"))
    titles = [b.content for a, b in pairwise(blocks) if a.type == "heading_open"]
    return {"", *(slug(re.sub(r"[`*]|\[|\]\(.*?\)", "", title)) for title in titles)}


def test_the_site_builds_without_a_warning_and_no_link_in_it_is_dead(tmp_path: Path) -> None:
    command = ["-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "docs", tmp_path]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not dead_links(tmp_path)
    text = (tmp_path / "reference" / "api" / "metrics.html").read_text(encoding="utf-8")
    assert "<math" in text
    notebook = (tmp_path / "tutorial-notebook.html").read_text(encoding="utf-8")
    for page in (text, notebook):
        assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=\"https?://", page)
    assert re.search(r"\b(\d+) of \1 fits were kept, 2 are new", notebook), "not executed as told"
    assert len(re.findall(r"<img[^>]+src=\"_images/", notebook)) == 2


@pytest.mark.parametrize("folder", ["methods", "datasets"])
def test_what_the_template_leaves_to_be_said_is_said(folder: str) -> None:
    paths = [path for place in registry.places(folder) for path in place.glob("*.[pb][yi]*")]
    left = [
        f"{registry.shown(path)}, line {number}: replace the TODO"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "TODO" in line
    ]
    assert paths
    assert not left


def test_the_notebook_is_stored_without_outputs_which_could_contradict_the_code() -> None:
    assert len(code := cells("code")) > 5
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)


def test_dead_links_are_found_and_others_are_not(tmp_path: Path) -> None:
    alive = ["other.html", "other.html#here", "#own", "https://doi.org/10.1/2"]
    dead = ["nowhere.html", "other.html#nowhere", "#nowhere", "https://doi", "htps://doi.org/1"]
    body = "".join(f'<a href="{link}">x</a>' for link in alive + dead)
    (tmp_path / "page.html").write_text(f'<p id="own">{body}</p>')
    (tmp_path / "other.html").write_text('<h2 id="here">x</h2>')
    assert dead_links(tmp_path) == sorted(f"page.html: {link}" for link in dead)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere_where_the_source_is_read_too(path: Path) -> None:
    for link in links(path):
        parts = urlsplit(link)
        if parts.scheme:
            assert is_well_formed(link), link
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        assert target.exists(), link
        if target.suffix == ".md":
            assert parts.fragment in anchors(target), link


@pytest.mark.parametrize("name", pages())
def test_the_reference_is_what_would_be_generated(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert text == pages()[name], "run `make docs`"


def test_every_key_of_the_configuration_is_explained() -> None:
    text = pages()["configuration.md"]
    schema = StudyParams.model_json_schema()
    keys = [key for part in _objects(schema) for key in part]
    assert len(keys) > 30
    for key in keys:
        assert f"| `{key}` |" in text


def _objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [schema["properties"], *(part["properties"] for part in schema["$defs"].values())]


def test_every_subcommand_and_argument_is_explained() -> None:
    sections = pages()["subcommands.md"].split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == [c.name for c in COMMANDS]
    for section, command in zip(sections, COMMANDS, strict=True):
        assert command.help in section
        for name in command.arguments:
            assert name.partition(" ")[0].strip("-?!*").upper() in section.upper()


def test_every_metric_is_defined_by_a_formula() -> None:
    text = pages()["metrics.md"]
    names = {
        space.replace("_", f"_{measure.name}_")
        for space, measures in BY_SPACE.items()
        for measure in measures
    }
    assert len(names) > 50
    missing = [name for name in names if f"`{name}`" not in text]
    assert not missing
    plain = [s.splitlines()[0] for s in text.split("\n### ")[1:] if "$" not in s]
    assert not plain


def test_the_how_to_of_methods_lists_all_that_they_can_use() -> None:
    text = (ROOT / "docs/how-to/method.md").read_text(encoding="utf-8")
    own = [value for value in vars(losses).values() if inspect.isfunction(value)]
    functions = {f.__name__: inspect.signature(f) for f in own if f.__module__ == losses.__name__}
    calls = [f"`{name}({', '.join(s.parameters)})`" for name, s in functions.items()]
    members = [f".{name}(" for name in vars(Probability) if not name.startswith("_")]
    fields = [f"`batch.{field.name}`" for field in dataclasses.fields(Batch)]
    predicted = f"`Prediction({', '.join(f.name for f in dataclasses.fields(Prediction))})`"
    assert len(calls) > 10
    listed = [call for call in calls if "`_" not in call] + [*members, *fields, predicted]
    assert not [name for name in listed if name not in text]


def test_the_words_are_those_of_the_field() -> None:
    texts = {path: " ".join(prose(path).lower().split()) for path in WRITTEN}
    by_hand = {path: text for path, text in texts.items() if "generated by `" not in text[:200]}
    assert len(by_hand) > 15
    found = [
        (path.name, word) for path, text in by_hand.items() for word in HOME_MADE if word in text
    ]
    assert not found
