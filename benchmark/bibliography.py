"""BibTeX: what ``methods/references.bib`` and ``datasets/references.bib`` hold, by key."""

from __future__ import annotations

import difflib
import re
import textwrap
from functools import lru_cache
from pathlib import Path

from benchmark import registry

NAME = "references.bib"

_START = re.compile(r"@\w+\s*\{\s*([^\s,{}]+)\s*,")


def entry(folder: str, key: str, source: str) -> str:
    """Return the entry that a plugin of a folder cites.

    Raises:
        LookupError: the folder's ``references.bib`` has no such entry.
    """
    by_key = known(folder)
    if key not in by_key:
        close = difflib.get_close_matches(key, by_key, 1)
        hint = f"write {close[0]!r} if you mean that, or " if close else ""
        places = reversed(registry.places(folder))
        where = " or ".join(registry.shown(place / NAME) for place in places)
        raise LookupError(
            f"{source} cites {key!r}, which is not in {where}; {hint}add the entry there"
        )
    return by_key[key]


def known(folder: str) -> dict[str, str]:
    """Return all entries of the ``references.bib`` of a kind of plugin, by key.

    An entry of the project is not replaced by one of an added folder.

    Raises:
        ValueError: it is not BibTeX, or has a key twice.
    """
    by_key = dict[str, str]()
    for path in (place / NAME for place in registry.places(folder)):
        if path.is_file():
            by_key |= _read(path, path.stat().st_mtime_ns)
    return by_key


@lru_cache(maxsize=8)
def _read(path: Path, _: int) -> dict[str, str]:
    text, source = path.read_text(encoding="utf-8"), registry.shown(path)
    names = keys(text)
    if twice := sorted({key for key in names if names.count(key) > 1}):
        raise ValueError(f"{source} has {' and '.join(twice)} twice; rename or delete one")
    return entries(text, source)


def keys(citation: str) -> list[str]:
    """Return the keys of the entries in a citation."""
    return _START.findall(citation)


def entries(citation: str, source: str) -> dict[str, str]:
    """Return the entries of one citation by key, unindented.

    Raises:
        ValueError: text without an entry, or braces that do not close.
    """
    text = textwrap.dedent(citation).strip()
    by_key = {match[1]: _balanced(text[match.start() :], source) for match in _START.finditer(text)}
    if text and not by_key:
        raise ValueError(f"the citation in {source} is not BibTeX: {text[:60]!r}")
    return by_key


def field(entry: str, key: str) -> str:
    """Return the value of a field of an entry on one line, without braces; "" if it has none."""
    match = re.search(rf"\b{key}\s*=\s*\{{((?:[^{{}}]|\{{[^{{}}]*\}})*)\}}", entry)
    return " ".join(re.sub("[{}]", "", match[1]).split()) if match else ""


def _balanced(text: str, source: str) -> str:
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if character == "}" and depth == 0:
            return text[: position + 1]
    raise ValueError(f"the citation in {source} lacks a closing brace: {text[:60]!r}")
