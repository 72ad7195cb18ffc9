"""The splits in a folder of processed data: whole, or what is wrong with them in one sentence."""

from __future__ import annotations

from pathlib import Path

from benchmark.files import DamagedError
from benchmark.schema import Schema, fingerprint_of

AGAIN = "`python -m benchmark data` (with --study if it is a study's) makes them again"


def schema_of(folder: Path) -> Schema:
    """Return the schema of the splits in a folder.

    Raises:
        FileNotFoundError: nothing was prepared.
        DamagedError: the file was cut off or edited.
    """
    try:
        return Schema.read(folder)
    except ValueError as error:
        path = folder / "schema.json"
        raise DamagedError(
            f"{path} is no schema: it was cut off or edited; with the splits, {AGAIN}"
        ) from error


def check_whole(folder: Path) -> None:
    """Compare the splits with their schema, once per process and content.

    Raises:
        FileNotFoundError: nothing was prepared.
        DamagedError: they are not what was written.
    """
    if fingerprint_of(folder) != schema_of(folder).fingerprint:
        raise DamagedError(
            f"the splits in {folder} are not those that their schema.json was written for: they "
            f"were edited or damaged since; {AGAIN}"
        )


def are_whole(folder: Path) -> bool:
    """Tell whether the splits are there as they were written."""
    try:
        check_whole(folder)
    except (OSError, DamagedError):
        return False
    return True
