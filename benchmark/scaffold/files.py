"""What every new file of a plugin needs: a free name, and an entry to cite."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from benchmark import bibliography
from benchmark.files import write_text
from benchmark.registry import ROOT

PLACEHOLDER = Template("""\
@misc{$key,
  title  = {TODO: the title of the paper behind $title},
  author = {TODO: Family, Given and Family, Given},
  year   = {2000},
  url    = {https://example.org/TODO-a-doi-eprint-or-url},
}
""")
SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def new_path(folder: str, name: str) -> Path:
    """Return where a new plugin of a folder is written.

    Raises:
        ValueError: the name is not in snake case, or is a word of the engine.
        FileExistsError: there is such a plugin.
    """
    kind = folder.removesuffix("s")
    if not SNAKE_CASE.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a {kind}: write lower-case words and digits joined by single "
            "underscores, beginning with a letter"
        )
    path = ROOT / folder / f"{name}.py"
    if path.exists():
        raise FileExistsError(f"{folder}/{name}.py exists; edit it, or choose another name")
    if user := _user(name):
        raise ValueError(f"{name!r} is a word in {user}; choose a name that only the {kind} has")
    return path


def title_of(name: str) -> str:
    """Return a name in words."""
    return " ".join(name.split("_")).capitalize()


def class_of(name: str) -> str:
    """Return a name in camel case."""
    return "".join(map(str.capitalize, name.split("_")))


def placeholder(folder: str, title: str) -> str:
    """Add an entry to the bibliography of a folder, unless it is there, and return its key."""
    key = "todo2000" + re.sub("[^a-z0-9]", "", title.lower())
    if key not in bibliography.known(folder):
        path = ROOT / folder / bibliography.NAME
        entry = PLACEHOLDER.substitute(key=key, title=title)
        write_text(path, path.read_text(encoding="utf-8").rstrip() + "\n\n" + entry)
    return key


def _user(name: str) -> Path | None:
    """Return a file of the engine in which the name is a word: it may name no plugin."""
    word = re.compile(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])")
    for path in sorted((ROOT / "benchmark").rglob("*.py")):
        if word.search(path.read_text(encoding="utf-8")):
            return path.relative_to(ROOT)
    return None
