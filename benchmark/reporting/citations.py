"""The BibTeX that methods and datasets declare, gathered into one file."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from benchmark.reporting.records import DatasetResults

_START = re.compile(r"@\w+\s*\{\s*([^\s,{}]+)\s*,")


def keys(citation: str) -> list[str]:
    """Return the keys of the entries in a citation."""
    return _START.findall(citation)


def references(logs: Iterable[DatasetResults]) -> dict[str, str]:
    """Return every cited entry by key, sorted.

    Raises:
        ValueError: a citation is not BibTeX, or one key stands for two entries.
    """
    found: dict[str, tuple[str, str]] = {}
    for source, citation in _declared(logs):
        for key, entry in entries(citation, source).items():
            first, other = found.setdefault(key, (source, entry))
            if other.split() != entry.split():
                raise ValueError(
                    f"citation key {key!r} stands for different entries in {first} and {source}; "
                    "make them equal, or give one another key, and run again"
                )
    return {key: entry for key, (_, entry) in sorted(found.items())}


def entries(citation: str, source: str) -> dict[str, str]:
    """Return the entries of one citation by key, unindented.

    Raises:
        ValueError: text without an entry, or braces that do not close.
    """
    text = textwrap.dedent(citation).strip()
    found = {match[1]: _balanced(text[match.start() :], source) for match in _START.finditer(text)}
    if text and not found:
        raise ValueError(f"the citation in {source} is not BibTeX: {text[:60]!r}")
    return found


def _declared(logs: Iterable[DatasetResults]) -> Iterable[tuple[str, str]]:
    for log in logs:
        if log.schema:
            yield f"datasets/{log.dataset}.py", log.schema.citation
        for task in log.tasks:
            if task.provenance:
                yield f"methods/{task.method}.py (run on {log.dataset})", task.provenance.citation


def _balanced(text: str, source: str) -> str:
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if character == "}" and depth == 0:
            return text[: position + 1]
    raise ValueError(f"the citation in {source} lacks a closing brace: {text[:60]!r}")
