"""Archives, unpacked without trust in the names, sizes and links inside them.

A single compressed file (``.gz``) is no archive here: readers stream it as it is.
"""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath, PurePosixPath

from benchmark.data.dataset import DataError
from benchmark.files import replacing_folder

ZIPS = (".zip", ".whl")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ENDED = (".zip", ".7z", ".gz", *TARS[1:])  # those whose end tells that it is one
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
LOCKED = (RuntimeError,)  # what zipfile raises for want of a password or a compression method
RATIO = 300  # bytes from one byte of an archive; those of logs stay below 50
FLOOR = 1 << 28  # bytes that even a small archive may become
MEMBER = 512  # bytes that a member takes besides its content, so that empty ones count too
DEPTH = 4  # archives inside archives
REFUSE = ("__MACOSX", "._*", ".DS_Store", "Thumbs.db", "desktop.ini")  # what file managers add
PIECE = 1 << 20  # bytes


def folder_of(path: Path) -> Path | None:
    """Return the folder into which an archive is unpacked, beside it; None if it is none."""
    for suffix in (*ZIPS, ".7z", *TARS):
        if path.name.lower().endswith(suffix):
            return path.with_name(path.name[: -len(suffix)])
    return None


def is_refuse(path: PurePath) -> bool:
    """Return whether a relative path is of what file managers add to folders and archives."""
    return any(fnmatchcase(part, pattern) for part in path.parts for pattern in REFUSE)


def unpack(path: Path) -> None:
    """Unpack an archive into its own folder, and the archives inside it, which are then removed.

    A file that is no archive, or is unpacked already, is left alone; so is one whose content, by
    its name, lies beside it. Backslashes in names of members part folders, and what file managers
    add is left out.

    Raises:
        DataError: the archive is damaged, becomes too large, holds a link, or a name in it leads
            out of the folder.
    """
    folder = folder_of(path)
    if folder is not None and not folder.exists():
        _unpack(path, folder, _Budget.of(path), DEPTH)


@dataclass
class _Budget:
    """How many bytes an archive may still become, with all archives inside it."""

    archive: Path
    left: int
    limit: str

    @classmethod
    def of(cls, path: Path) -> _Budget:
        allowed, free = max(FLOOR, RATIO * path.stat().st_size), shutil.disk_usage(path.parent).free
        if free < allowed:
            return cls(path, free, f"the {free:,} bytes left on the disk: make room")
        return cls(path, allowed, f"{allowed:,} bytes, the most that a log of its size may be")

    def take(self, member: str, size: int) -> None:
        """Check a member before it is written."""
        name = PurePosixPath(member.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise self._refused(f"its member {member!r} leads out of the folder")
        self.left -= size + MEMBER
        if self.left < 0:
            raise self._refused(f"with {member!r} it becomes more than {self.limit}")

    def refuse_link(self, member: str) -> None:
        raise self._refused(f"its member {member!r} is a link or a device")

    def refuse_twice(self, member: PurePath) -> None:
        raise self._refused(f"it has two members named {member.as_posix()}")

    def refuse_clash(self, inner: Path, inside: Path) -> None:
        """Check that an inner archive's folder is not the place of something else."""
        if inside.exists():
            raise self._refused(
                f"it has both {inner.name} and {inside.name}, into which that is unpacked; unpack"
                " it by hand and put its files into this dataset's folder in data/manual/"
            )

    def _refused(self, reason: str) -> DataError:
        return DataError(f"{self.archive} is refused: {reason}")


def _unpack(path: Path, folder: Path, budget: _Budget, depth: int) -> None:
    if not depth:
        raise DataError(f"{budget.archive} is refused: archives in it are nested {DEPTH} deep")
    with replacing_folder(folder) as temporary:
        try:
            _extract(path, temporary, budget)
        except (*DAMAGED, *LOCKED, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk; those of a damaged stream have no number
            reason = (str(error).strip() or "it is damaged").splitlines()[0]
            raise DataError(
                f"{path} cannot be unpacked: {reason}; delete it and get it again"
            ) from error
        _part_at_backslashes(temporary, budget)
        _remove_refuse(temporary)
        for inner in sorted(temporary.rglob("*")):
            if inner.is_file() and (inside := folder_of(inner)):
                budget.refuse_clash(inner, inside)
                _unpack(inner, inside, budget, depth - 1)
                inner.unlink()


def _part_at_backslashes(folder: Path, budget: _Budget) -> None:
    """Move what has backslashes in its name, by which some Windows programs part folders."""
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        if "\\" not in name:
            continue
        target = folder / name.replace("\\", "/")
        if path.is_dir():
            path.rmdir()
        elif name.endswith("\\") and not path.stat().st_size:  # a folder, as they write it
            path.unlink()
            target.mkdir(parents=True, exist_ok=True)
        elif target.exists():
            budget.refuse_twice(target.relative_to(folder))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)


def _remove_refuse(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if is_refuse(path.relative_to(folder)):
            path.rmdir() if path.is_dir() else path.unlink()


def _extract(path: Path, folder: Path, budget: _Budget) -> None:
    if path.name.lower().endswith(ZIPS):
        _extract_zip(path, folder, budget)
    elif path.name.lower().endswith(".7z"):
        _extract_7z(path, folder, budget)
    else:
        _extract_tar(path, folder, budget)


def _extract_zip(path: Path, folder: Path, budget: _Budget) -> None:
    """Unpack what the directory at its end lists; no member yields more bytes than it says."""
    with zipfile.ZipFile(path) as content:
        for member in content.infolist():
            budget.take(member.filename, member.file_size)
            content.extract(member, folder)


def _extract_tar(path: Path, folder: Path, budget: _Budget) -> None:
    """Unpack member by member: their list would take a pass through all of it.

    The stream is read on to its end, as its checksum is there, behind the last member.
    """
    with tarfile.open(path) as content:
        for member in content:
            budget.take(member.name, member.size)
            if not (member.isfile() or member.isdir()):
                budget.refuse_link(member.name)
            content.extract(member, folder, filter="data")
        while content.fileobj and content.fileobj.read(PIECE):
            pass


def _extract_7z(path: Path, folder: Path, budget: _Budget) -> None:
    import py7zr  # noqa: PLC0415 (few logs need it)
    from py7zr.exceptions import AbsolutePathError, ArchiveError, PasswordRequired  # noqa: PLC0415

    try:
        with py7zr.SevenZipFile(path) as content:
            for member in content.list():
                budget.take(member.filename, member.uncompressed)
                if not (member.is_file or member.is_directory):
                    budget.refuse_link(member.filename)
            content.extractall(folder)
    except (ArchiveError, PasswordRequired, AbsolutePathError) as error:
        raise RuntimeError(error.args[-1] if error.args else "it is damaged") from error
