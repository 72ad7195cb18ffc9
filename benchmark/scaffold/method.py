"""The first version of a method's file: it works, and says what to write where."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from benchmark import bibliography
from benchmark.files import write_text
from benchmark.registry import ROOT

TEMPLATE = Path(__file__).parent / "method.py.txt"
PLACEHOLDER = Template("""\
@misc{$key,
  title  = {TODO: the title of the paper behind $title},
  author = {TODO: Family, Given and Family, Given},
  year   = {2000},
  url    = {https://example.org/TODO-a-doi-eprint-or-url},
}
""")
SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def create(name: str, cite: str | None = None) -> Path:
    """Write ``methods/<name>.py`` from the template and return its path.

    It cites the given entry of ``methods/references.bib``, or a placeholder that is added there.

    Raises:
        ValueError: the name is not in snake case, or is a word of the engine.
        FileExistsError: there is such a method.
        LookupError: there is no such entry.
    """
    if not SNAKE_CASE.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a method: write lower-case words and digits joined by single "
            "underscores, beginning with a letter"
        )
    path = ROOT / "methods" / f"{name}.py"
    if path.exists():
        raise FileExistsError(f"methods/{name}.py exists; edit it, or choose another name")
    if user := _user(name):
        raise ValueError(f"{name!r} is a word in {user}; choose a name that only the method has")
    words = name.split("_")
    title = " ".join(words).capitalize()
    key = _placeholder(title) if cite is None else _known(cite)
    class_name = "".join(map(str.capitalize, words))
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    write_text(path, template.substitute(class_name=class_name, title=title, key=key))
    return path


def _known(cite: str) -> str:
    bibliography.entry("methods", cite, "the new method")
    return cite


def _placeholder(title: str) -> str:
    """Add an entry to the bibliography, unless it is there, and return its key."""
    key = "todo2000" + re.sub("[^a-z0-9]", "", title.lower())
    if key not in bibliography.known("methods"):
        path = ROOT / "methods" / bibliography.NAME
        entry = PLACEHOLDER.substitute(key=key, title=title)
        write_text(path, path.read_text(encoding="utf-8").rstrip() + "\n\n" + entry)
    return key


def _user(name: str) -> Path | None:
    """Return a file of the engine in which the name is a word: it may name no method."""
    word = re.compile(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])")
    for path in sorted((ROOT / "benchmark").rglob("*.py")):
        if word.search(path.read_text(encoding="utf-8")):
            return path.relative_to(ROOT)
    return None
