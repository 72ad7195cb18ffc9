"""Records that tell whether they are what was written: JSON with a digest of its content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmark import files
from benchmark.files import DamagedError, fingerprint, write_json

DIGEST = "digest"


def write_sealed(path: Path, record: dict[str, Any]) -> None:
    """Write a record with the digest of its content, as it will be read."""
    content = json.loads(json.dumps(record))
    write_json(path, content | {DIGEST: digest(content)})


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Return a record; None if there is none, or if it is broken or was edited: make it again."""
    record = files.read_record(path)
    return record if is_sealed(record) else None


def read_whole(path: Path) -> dict[str, Any]:
    """Return a record that must be there as it was written.

    Raises:
        DamagedError: it is no JSON, or not what was written.
        FileNotFoundError: it does not exist.
    """
    record = files.read_json(path)
    if not is_sealed(record):
        raise DamagedError(f"{path} is not what was written; delete it and run it again")
    content: dict[str, Any] = record
    return content


def is_sealed(record: Any) -> bool:
    """Tell whether a record has the digest of its content."""
    if not isinstance(record, dict):
        return False
    content = {name: value for name, value in record.items() if name != DIGEST}
    return record.get(DIGEST) == digest(content)


def digest(record: dict[str, Any]) -> str:
    """Return the digest of a record as JSON."""
    return fingerprint([json.dumps(record, sort_keys=True)])
