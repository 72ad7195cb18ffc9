"""Files and folders that are whole or absent: written under another name, then renamed.

That other name is fixed, begins with a dot and ends with ``.tmp``: what a killed process leaves
under it, the next writer of the same path replaces. What is renamed is on the disk before, so that
a power failure leaves the old content or the new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class DamagedError(ValueError):
    """A file of the project's own is empty, cut off or no JSON."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` if the block succeeds, else is removed.

    Processes and threads that write the same path wait for each other; the last one wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with _locked(temporary):
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    _sync(path.parent)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file, made anew and empty, that no one else holds: a killed process holds none."""
    while True:
        with path.open("ab") as stream:
            with suppress(OSError):  # some file systems of clusters have no locks
                fcntl.flock(stream, fcntl.LOCK_EX)
            if _is_still(path, stream.fileno()):  # else its last holder renamed or removed it
                stream.truncate(0)
                yield
                return


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``folder`` if the block succeeds."""
    temporary, old = (folder.with_name(f".{folder.name}.{state}") for state in ("tmp", "old"))
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            _sync(path)
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.replace(old)
        temporary.replace(folder)
        _sync(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write a whole JSON file or nothing; NaN is refused, since it is not JSON."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        DamagedError: it is empty, cut off or something else.
        FileNotFoundError: it does not exist.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamagedError(f"{path} is no whole JSON file: {error}; delete it") from error


def read_record(path: Path) -> Any | None:
    """Return the content of a JSON file that can be made again; None if it is absent or damaged."""
    try:
        return read_json(path)
    except (DamagedError, FileNotFoundError):
        return None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(parts: Iterable[str]) -> str:
    """Return a short hash of a sequence of strings."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:16]
