"""A raw folder: its record, and its files, wherever an archive had them."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from contextlib import suppress
from hashlib import file_digest
from os import SEEK_END
from pathlib import Path
from typing import Any, TypedDict

from benchmark.data.dataset import DataError
from benchmark.data.fetching.archive import folder_of
from benchmark.files import read_record, sha256

MANIFEST = "manifest.json"
UNFINISHED = "unfinished.json"  # its place until all files are there


PINS = {
    "adapter": "pinned in the adapter",
    "lock": "pinned by an earlier download",
    "first use": "pinned at first use, by this download",
    "no length": "not pinned, as the server told no length",
    None: "not pinned",
}


class Entry(TypedDict):
    """A raw file as it was downloaded or taken.

    ``origin`` is the URL, or "manual". ``pin`` tells which SHA-256 it equals: "adapter", the one
    in the adapter; "lock", one recorded before it was got; "first use", one recorded when it was
    got, which proves nothing yet; "no length": none, and none is recorded, as nothing tells
    whether the file came whole; None: no one knows.
    """

    file: str
    size: int
    sha256: str
    origin: str
    pin: str | None


class Unpacked(TypedDict):
    """A file that came out of an archive, by its name below the raw folder."""

    file: str
    size: int
    sha256: str


def manifest(raw: Path) -> dict[str, Any] | None:
    """Return the record of a raw folder, None where there is none, hence nothing to rely on."""
    record = read_record(raw / MANIFEST)
    return record if isinstance(record, dict) else None


def origins(raw: Path) -> str:
    """Return in words how many raw files are known how well; "" without a record."""
    record = manifest(raw) or {"files": []}
    counted = Counter(entry.get("pin") for entry in record["files"])
    return ", ".join(f"{counted[pin]} {words}" for pin, words in PINS.items() if counted[pin])


def find(raw: Path, name: str) -> Path:
    """Return the one file of a name, in whatever folder below ``raw`` an archive had it.

    Raises:
        DataError: there is none, or there are several of different content.
    """
    paths = _files(raw, name)
    if len(paths) != 1:
        raise _miscounted(raw, name, len(paths), "one")
    return paths[0]


def find_all(raw: Path, name: str) -> list[Path]:
    """Return all files of a name, a pattern, sorted; of those with equal content the first.

    A ``.gz`` has the content of what is packed in it, whatever that is called.

    Raises:
        DataError: there is none.
    """
    if not (paths := _files(raw, name)):
        raise _miscounted(raw, name, 0, "one or more")
    return paths


def _files(raw: Path, name: str) -> list[Path]:
    """Return the files of a name, but no archive whose content lies beside it."""
    distinct: dict[tuple[int, str], Path] = {}
    paths = [path for path in sorted(raw.rglob(name)) if path.is_file() and not _is_unpacked(path)]
    sizes = {path: _size(path) for path in paths}
    often = Counter(sizes.values())
    for path, size in sizes.items():
        distinct.setdefault((size, _digest(path) if often[size] > 1 else ""), path)
    return list(distinct.values())


def _is_unpacked(path: Path) -> bool:
    folder = folder_of(path)
    return folder is not None and folder.exists()


def _size(path: Path) -> int:
    """Return how many bytes of content a file has, modulo 2^32, which is what a ``.gz`` records."""
    if path.suffix != ".gz":
        return path.stat().st_size % (1 << 32)
    with path.open("rb") as file:
        file.seek(-min(4, path.stat().st_size), SEEK_END)
        return int.from_bytes(file.read(), "little")


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file's content; of a damaged ``.gz``, of the file itself."""
    if path.suffix == ".gz":
        with suppress(OSError, EOFError, zlib.error), gzip.open(path) as content:
            return file_digest(content, "sha256").hexdigest()
    return sha256(path)


def _miscounted(raw: Path, name: str, count: int, expected: str) -> DataError:
    manual = (manifest(raw) or {}).get("manual", f"data/manual/{raw.name}")
    return DataError(
        f"{raw} holds {count} files named {name}, expected {expected}: correct {manual}/ and run"
        f" `python -m benchmark download {raw.name}`"
    )
