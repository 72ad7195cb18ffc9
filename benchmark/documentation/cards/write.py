"""The subcommand `cards`: count what is processed here, and write every page anew."""

from __future__ import annotations

from pathlib import Path

from benchmark import registry
from benchmark.documentation.cards import records
from benchmark.documentation.cards.card import card, index
from benchmark.documentation.cards.facts import measure
from benchmark.documentation.cards.listing import Folders, items
from benchmark.documentation.cards.picture import draw, sketch
from benchmark.files import write_text
from benchmark.studies import first_splits


def write_all(folders: Folders) -> Path:
    """Write the card of every dataset, the pictures and the index; return the latter's path.

    Facts of datasets that are ready here are counted anew, those of others stay; so do their
    pictures. What is of a dataset that no longer exists is deleted.
    """
    folders.cards.mkdir(parents=True, exist_ok=True)
    names = registry.names("datasets")
    for stale in folders.cards.iterdir():
        if stale.stem not in names:
            stale.unlink()
    for name in names:
        processed = first_splits(folders.processed / name)
        if (processed / "schema.json").is_file():
            measured = measure(processed, folders.raw / name)
            records.write(measured, folders.cards / f"{name}.json")
            draw(measured, folders.cards / f"{name}.svg")
    listed = items(folders)
    for item in listed:
        if item.facts is None:
            sketch(item.dataset.stages, folders.cards / f"{item.name}.svg")
        write_text(folders.cards / f"{item.name}.md", card(item))
    path = folders.cards.with_suffix(".md")
    write_text(path, index(listed))
    return path
