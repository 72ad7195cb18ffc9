"""Processed folders whose splits a test edits on purpose."""

from __future__ import annotations

from pathlib import Path

from benchmark.files import read_json, write_json
from benchmark.schema import fingerprint_of


def seal(processed: Path) -> None:
    """Have the schema of a processed folder tell the fingerprint of its splits as they are now."""
    record = read_json(processed / "schema.json")
    write_json(processed / "schema.json", record | {"fingerprint": fingerprint_of(processed)})
