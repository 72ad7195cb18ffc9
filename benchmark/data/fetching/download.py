"""Raw files: fetched and verified, or taken from ``data/manual/`` where a person must get them.

A raw folder holds the files, beside each archive a folder with its content, and
``manifest.json``. The latter is written last: without it the folder is not to be relied on. Until
then ``unfinished.json`` records what was downloaded; other files there are never taken for that.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from benchmark.data.dataset import DataError, Source
from benchmark.data.fetching.archive import folder_of, unpack
from benchmark.data.fetching.checksums import Checksums
from benchmark.data.fetching.http import download, partial
from benchmark.data.fetching.raw import MANIFEST, UNFINISHED, Entry, manifest
from benchmark.files import read_json, sha256, write_json

MANUAL = "manual"  # the origin of what a person put there
NO_LENGTH = "no length"  # the pin of a download that may be a part
KNOWN_BEFORE = ("adapter", "lock")  # the pins that verify a file


def fetch(name: str, sources: Sequence[Source], raw: Path, manual: Path, lock: Path) -> None:
    """Make ``raw`` hold the files of a dataset, unpacked; do nothing if it does already.

    Files that a person put into ``manual`` are taken as they are, samples and subsets included;
    without any, every source is downloaded. A download that no adapter pins is pinned in ``lock``
    once it is unpacked, and later ones must equal it. The files are verified if each equals a
    SHA-256 that was known before: one that pins itself proves nothing yet.

    Raises:
        DataError: a file must be got by hand, differs from its pin, or cannot be downloaded.
    """
    given = _files(manual) if sources else {}
    if not given and (walled := [source for source in sources if source.url is None]):
        raise DataError(_by_hand(name, walled, manual))
    pins = Checksums(lock)
    locked = [pins.locked(source) for source in sources]
    wanted = given or {source.file: raw / source.file for source in sources}
    entries = _in_place(raw, wanted)
    if entries is None:
        entries = _taken(given, locked, raw) if given else _downloaded(locked, raw)
        for entry in entries:
            unpack(raw / entry["file"])
    for entry in entries:
        entry["pin"] = _pin(entry, sources, locked)
        if entry["pin"] is None and entry["origin"] != MANUAL:
            pins.add(entry)
            entry["pin"] = "first use"
    verified = all(entry["pin"] in KNOWN_BEFORE for entry in entries)
    record = {"verified": verified, "manual": manual.as_posix(), "files": entries}
    write_json(raw / MANIFEST, record)
    (raw / UNFINISHED).unlink(missing_ok=True)


def is_verified(raw: Path) -> bool:
    """Return whether every raw file equalled a SHA-256 that was known before it was got.

    Raises:
        FileNotFoundError: the dataset was not downloaded.
    """
    record = manifest(raw)
    if record is None:
        raise FileNotFoundError(
            f"{raw / MANIFEST} is missing; run `python -m benchmark download {raw.name}` first"
        )
    return bool(record["verified"])


def _files(folder: Path) -> dict[str, Path]:
    """Return the files below a folder by their relative names, hidden ones left out."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*"))}
    return {
        name.as_posix(): path
        for name, path in paths.items()
        if path.is_file() and not any(part.startswith(".") for part in name.parts)
    }


def _by_hand(name: str, sources: Sequence[Source], manual: Path) -> str:
    files = ", ".join(source.file for source in sources)
    pages = " and ".join(sorted({source.page for source in sources}))
    return (
        f"{name} cannot be downloaded without a person: get {files} (or the part of them that you"
        f" need) from {pages}, put them into {manual}/ and run this again"
    )


def _in_place(raw: Path, wanted: Mapping[str, Path]) -> list[Entry] | None:
    """Return what the manifest records if it is about the wanted files and still true."""
    record = manifest(raw)
    if record is None:
        return None
    entries: list[Entry] = record["files"]
    written = (raw / MANIFEST).stat().st_mtime
    true = {entry["file"] for entry in entries} == set(wanted) and all(
        _intact(path, entry, written)
        for entry in entries
        for path in {raw / entry["file"], wanted[entry["file"]]}
    )
    unpacked = all((folder_of(raw / entry["file"]) or raw).is_dir() for entry in entries)
    return entries if true and unpacked else None


def _intact(path: Path, entry: Entry, written: float) -> bool:
    """Tell whether a file is the recorded one; only one younger than the record is read."""
    if not path.is_file() or path.stat().st_size != entry["size"]:
        return False
    return path.stat().st_mtime <= written or sha256(path) == entry["sha256"]


def _taken(given: Mapping[str, Path], sources: Sequence[Source], raw: Path) -> list[Entry]:
    entries = [_entry(file, path, MANUAL) for file, path in given.items()]
    for entry in entries:
        _pin(entry, sources, sources)
    _clear(raw, keep=())
    for file, path in given.items():
        _link(path.resolve(), raw / file)
    return entries


def _downloaded(sources: Sequence[Source], raw: Path) -> list[Entry]:
    """Download the sources but those that are there, by the record of whatever run ended last."""
    entries = _recorded(sources, raw)
    keep = {path.name for source in sources for path in partial(raw / source.file)}
    _clear(raw, keep | {UNFINISHED, *entries})
    for source in sources:
        if source.file not in entries:
            entries[source.file] = _fetched(source, raw)
            write_json(raw / UNFINISHED, {"files": list(entries.values())})
    return [entries[source.file] for source in sources]


def _recorded(sources: Sequence[Source], raw: Path) -> dict[str, Entry]:
    """Return the entries of the downloads that are still what was recorded of them."""
    path = next((raw / name for name in (MANIFEST, UNFINISHED) if (raw / name).is_file()), None)
    if path is None:
        return {}
    known = {entry["file"]: entry for entry in read_json(path)["files"]}
    written = path.stat().st_mtime
    return {
        source.file: entry
        for source in sources
        if (entry := known.get(source.file)) is not None
        and entry["origin"] == source.url
        and source.sha256 in (None, entry["sha256"])
        and _intact(raw / source.file, entry, written)
    }


def _fetched(source: Source, raw: Path) -> Entry:
    path = raw / source.file
    found, whole = download(source, path)
    pin = None if whole else NO_LENGTH
    return Entry(
        file=source.file, size=path.stat().st_size, sha256=found, origin=source.url or "", pin=pin
    )


def _clear(raw: Path, keep: Collection[str]) -> None:
    """Delete everything in a folder but the files to keep.

    First the manifest becomes the record of what is unfinished, which outlives an interrupt.
    """
    if (raw / MANIFEST).is_file():
        (raw / MANIFEST).replace(raw / UNFINISHED)
    for path in raw.iterdir() if raw.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in keep:
            path.unlink()


def _link(path: Path, target: Path) -> None:
    """Hard-link a file, or copy it where the file system cannot link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)


def _entry(file: str, path: Path, origin: str) -> Entry:
    size, found = path.stat().st_size, sha256(path)
    return Entry(file=file, size=size, sha256=found, origin=origin, pin=None)


def _pin(entry: Entry, sources: Sequence[Source], locked: Sequence[Source]) -> str | None:
    """Tell which pin a file equals, by its name: one of its adapter, one of the lock file or none.

    A file that set its pin itself does not come to be verified by being looked at again.

    Raises:
        DataError: it is pinned to other content.
    """
    name = Path(entry["file"]).name
    own, pin = ({s.file: s.sha256 for s in known}.get(name) for known in (sources, locked))
    if pin not in (None, entry["sha256"]):
        raise DataError(
            f"{entry['file']} ({entry['origin']}) has SHA-256 {entry['sha256']}, expected {pin};"
            " delete it and get it again"
        )
    if own is not None:
        return "adapter"
    if pin is None:
        return NO_LENGTH if entry.get("pin") == NO_LENGTH else None
    return "first use" if entry.get("pin") == "first use" else "lock"
