"""The first version of a method's file: it works, and says what to write where."""

from __future__ import annotations

from pathlib import Path
from string import Template

from benchmark import bibliography
from benchmark.files import write_text
from benchmark.scaffold.files import class_of, new_path, placeholder, title_of

TEMPLATE = Path(__file__).parent / "method.py.txt"


def create(name: str, cite: str | None = None) -> Path:
    """Write ``methods/<name>.py`` from the template and return its path.

    It cites the given entry of ``methods/references.bib``, or a placeholder that is added there.

    Raises:
        ValueError: the name is not in snake case, or is a word of the engine.
        FileExistsError: there is such a method.
        LookupError: there is no such entry.
    """
    path, title = new_path("methods", name), title_of(name)
    key = placeholder("methods", title) if cite is None else _known(cite)
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    write_text(path, template.substitute(class_name=class_of(name), title=title, key=key))
    return path


def _known(cite: str) -> str:
    bibliography.entry("methods", cite, "the new method")
    return cite
