"""Raw files: fetched and verified, or taken from ``data/manual/`` where a person must get them.

A raw folder holds the files, beside each archive a folder with its content, and
``manifest.json``, which has the SHA-256 of each of them. The latter is written last: without it the
folder is not to be relied on. Until then ``unfinished.json`` records what was downloaded; other
files there are never taken for that.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from benchmark.data.dataset import DataError, Source
from benchmark.data.fetching.archive import folder_of, is_refuse, unpack
from benchmark.data.fetching.checksums import Checksums
from benchmark.data.fetching.http import DownloadError, download, partial
from benchmark.data.fetching.raw import MANIFEST, UNFINISHED, Entry, Unpacked, manifest
from benchmark.files import read_json, read_record, sha256, write_json

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
    by_hand = _files(manual) if sources else {}
    if not by_hand and (walled := [source for source in sources if source.url is None]):
        raise DataError(_by_hand(name, walled, manual))
    pins = Checksums(lock)
    locked = [pins.locked(source) for source in sources]
    files = by_hand or {source.file: raw / source.file for source in sources}
    entries, content = _in_place(raw, files)
    if not entries:
        entries = _taken(by_hand, locked, raw) if by_hand else _downloaded(locked, raw, manual)
        for entry in entries:
            unpack(raw / entry["file"])
        content = _content(raw, entries)
    for entry in entries:
        entry["pin"] = _pin(entry, sources, locked)
        if entry["pin"] is None and entry["origin"] != MANUAL:
            pins.add(entry)
            entry["pin"] = "first use"
    verified = all(entry["pin"] in KNOWN_BEFORE for entry in entries)
    record = {
        "verified": verified, "manual": manual.as_posix(), "files": entries, "content": content
    }  # fmt: skip
    write_json(raw / MANIFEST, record)
    (raw / UNFINISHED).unlink(missing_ok=True)


def is_verified(raw: Path) -> bool:
    """Return whether every raw file equalled a SHA-256 that was known before it was got.

    Raises:
        DataError: a file is not what was recorded of it: it was edited since, or damaged.
        FileNotFoundError: the dataset was not downloaded.
    """
    record = manifest(raw)
    if record is None:
        raise FileNotFoundError(
            f"{raw / MANIFEST} is missing; run `python -m benchmark download {raw.name}` first"
        )
    if changed := _changed(raw, record):
        raise DataError(
            f"{raw / changed} is not what {raw / MANIFEST} records: it was edited, removed or "
            f"damaged since; run `python -m benchmark download {raw.name}`"
        )
    return bool(record["verified"])


def _files(folder: Path, above: Sequence[Path] = ()) -> dict[str, Path]:
    """Return the files below a folder by their relative names, those behind links too.

    Hidden ones, and what file managers add, are left out.

    Raises:
        DataError: a link leads nowhere, or back to a folder that it lies in.
    """
    files: dict[str, Path] = {}
    here = [*above, folder.resolve()]
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or is_refuse(PurePath(path.name)):
            continue
        if path.is_symlink() and (not path.exists() or path.resolve() in here):
            where = "back to a folder that it lies in" if path.exists() else "to nothing"
            raise DataError(f"{path} is a link {where}: remove it, or put there what is meant")
        if path.is_dir():
            below = _files(path, here)
            files |= {f"{path.name}/{name}": file for name, file in below.items()}
        elif path.is_file():
            files[path.name] = path
    return files


def _by_hand(name: str, sources: Sequence[Source], manual: Path) -> str:
    files = ", ".join(source.file for source in sources)
    pages = " and ".join(sorted({source.page for source in sources}))
    return (
        f"{name} cannot be downloaded without a person: get {files} (or the part of them that you"
        f" need) from {pages}, put them into {manual}/ and run this again"
    )


def _in_place(raw: Path, files: Mapping[str, Path]) -> tuple[list[Entry], list[Unpacked]]:
    """Return what the manifest records if it is about the wanted files and still true."""
    record = manifest(raw)
    if record is None or _changed(raw, record):
        return [], []
    entries: dict[str, Entry] = {entry["file"]: entry for entry in record["files"]}
    written = (raw / MANIFEST).stat().st_mtime
    true = entries.keys() == files.keys() and all(
        _intact(path, entries[file], written) for file, path in files.items()
    )
    return (list(entries.values()), record["content"]) if true else ([], [])


def _changed(raw: Path, record: Mapping[str, Any]) -> str | None:
    """Return a file that is not what a manifest records of it; one that records too little is."""
    if "content" not in record:
        return MANIFEST
    written = (raw / MANIFEST).stat().st_mtime
    files: list[Entry | Unpacked] = [*record["files"], *record["content"]]
    false = (file["file"] for file in files if not _intact(raw / file["file"], file, written))
    return next(false, None)


def _content(raw: Path, entries: Sequence[Entry]) -> list[Unpacked]:
    """Return what came out of the archives, but what was taken or downloaded by itself."""
    known = {entry["file"] for entry in entries}
    folders = {folder for entry in entries if (folder := folder_of(raw / entry["file"]))}
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [
        Unpacked(file=name, size=path.stat().st_size, sha256=sha256(path))
        for path in files
        if (name := path.relative_to(raw).as_posix()) not in known
    ]


def _intact(path: Path, entry: Entry | Unpacked, written: float) -> bool:
    """Tell whether a file is the recorded one; only one touched after the record is read.

    The time is that of the last change of its content, name or rights, which no program sets.
    """
    if not path.is_file() or path.stat().st_size != entry["size"]:
        return False
    return path.stat().st_ctime <= written or sha256(path) == entry["sha256"]


def _taken(by_hand: Mapping[str, Path], sources: Sequence[Source], raw: Path) -> list[Entry]:
    entries = [_entry(file, path, MANUAL) for file, path in by_hand.items()]
    for entry in entries:
        _pin(entry, sources, sources)
    _clear(raw, keep=())
    for file, path in by_hand.items():
        _link(path.resolve(), raw / file)
    return entries


def _downloaded(sources: Sequence[Source], raw: Path, manual: Path) -> list[Entry]:
    """Download the sources but those that are there, by the record of whatever run ended last."""
    entries = _recorded(sources, raw)
    keep = {path.name for source in sources for path in partial(raw / source.file)}
    _clear(raw, keep | {UNFINISHED, *entries})
    for source in sources:
        if source.file not in entries:
            entries[source.file] = _fetched(source, raw, manual)
            write_json(raw / UNFINISHED, {"files": list(entries.values())})
    return [entries[source.file] for source in sources]


def _recorded(sources: Sequence[Source], raw: Path) -> dict[str, Entry]:
    """Return the entries of the downloads that are still what was recorded of them."""
    paths = (raw / name for name in (MANIFEST, UNFINISHED))
    path = next((path for path in paths if read_record(path) is not None), None)
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


def _fetched(source: Source, raw: Path, manual: Path) -> Entry:
    path = raw / source.file
    try:
        digest, whole = download(source, path)
    except DownloadError as error:
        raise DataError(
            f"{error}; or get {source.file} from {source.page} by hand, put it into {manual}/ and "
            "run this again"
        ) from error
    pin = None if whole else NO_LENGTH
    return Entry(
        file=source.file, size=path.stat().st_size, sha256=digest, origin=source.url or "", pin=pin
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
    size, digest = path.stat().st_size, sha256(path)
    return Entry(file=file, size=size, sha256=digest, origin=origin, pin=None)


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
