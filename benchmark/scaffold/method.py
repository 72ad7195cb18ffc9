"""The first version of a method's file: it works, and says what to write where."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from benchmark.files import write_text
from benchmark.registry import ROOT

TEMPLATE = Path(__file__).parent / "method.py.txt"
SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def create(name: str) -> Path:
    """Write ``methods/<name>.py`` from the template and return its path.

    Raises:
        ValueError: the name is not in snake case, or is a word of the engine.
        FileExistsError: there is such a method.
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
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    class_name, title = "".join(map(str.capitalize, words)), " ".join(words).capitalize()
    write_text(path, template.substitute(class_name=class_name, title=title))
    return path


def _user(name: str) -> Path | None:
    """Return a file of the engine in which the name is a word: it may name no method."""
    word = re.compile(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])")
    for path in sorted((ROOT / "benchmark").rglob("*.py")):
        if word.search(path.read_text(encoding="utf-8")):
            return path.relative_to(ROOT)
    return None
