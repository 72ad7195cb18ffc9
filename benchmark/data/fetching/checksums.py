"""The lock file of raw files: size and SHA-256 of each download, recorded at its first success.

An adapter pins a hash that someone published or that was checked by hand. Where it has none, the
lock file makes sure that later downloads, here and elsewhere, are the same bytes as the first.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.data.dataset import DataError, Source
from benchmark.data.fetching.raw import Entry
from benchmark.files import read_json, write_json


class Checksums:
    """What is known of each URL, in a file that is committed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known = _read(path)

    def locked(self, source: Source) -> Source:
        """Return a source with the recorded size and hash where its adapter has none."""
        if source.sha256 is not None or (pin := self.known.get(source.url or "")) is None:
            return source
        return replace(source, sha256=pin["sha256"], size=pin["size"])

    def add(self, entry: Entry) -> None:
        """Record a file that was downloaded and read for the first time.

        The lock file is read again, as another download may have written it meanwhile.

        Raises:
            DataError: that one recorded other content.
        """
        pin = {"sha256": entry["sha256"], "size": entry["size"]}
        self.known = _read(self.path)
        if self.known.setdefault(entry["origin"], pin) != pin:
            raise DataError(
                f"{entry['origin']} has SHA-256 {pin['sha256']}, but another download pinned other "
                f"content in {self.path} meanwhile; delete {entry['file']} and get it again"
            )
        write_json(self.path, self.known)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the pins, none without a file."""
    try:
        known = read_json(path) if path.is_file() else {}
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}; restore it from git") from error
    if not isinstance(known, dict):
        raise DataError(f"{path} is no JSON object of pins by URL; restore it from git")
    return known
