"""The BibTeX that methods and datasets declare, gathered into one file."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.bibliography import entries
from benchmark.reporting.records import DatasetResults


def references(datasets: Iterable[DatasetResults]) -> dict[str, str]:
    """Return every cited entry by key, sorted.

    Raises:
        ValueError: a citation is not BibTeX, or one key stands for two entries.
    """
    by_key: dict[str, tuple[str, str]] = {}
    for source, citation in _declared(datasets):
        for key, entry in entries(citation, source).items():
            first, other = by_key.setdefault(key, (source, entry))
            if other.split() != entry.split():
                raise ValueError(
                    f"citation key {key!r} stands for different entries in {first} and {source}; "
                    "make them equal, or give one another key, and run again"
                )
    return {key: entry for key, (_, entry) in sorted(by_key.items())}


def _declared(datasets: Iterable[DatasetResults]) -> Iterable[tuple[str, str]]:
    for results in datasets:
        if results.schema:
            yield f"datasets/{results.dataset}.py", results.schema.citation
        for task in results.tasks:
            if task.provenance:
                yield (
                    f"methods/{task.method}.py (run on {results.dataset})",
                    task.provenance.citation,
                )
