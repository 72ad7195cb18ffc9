"""Archives among the raw files: nested, hostile, damaged."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import py7zr
import pytest

from benchmark.data.dataset import DataError
from benchmark.data.fetching import archive
from benchmark.data.fetching.archive import unpack


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def tarred(name: str, content: bytes, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        (member := tarfile.TarInfo(name)).size = len(content)
        member.type, member.linkname = kind, link
        file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def sevened(members: dict[str, bytes], password: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w", password=password) as file:
        for name, content in members.items():
            file.writestr(content, name)
    return buffer.getvalue()


def packed(name: str, member: str, content: bytes) -> bytes:
    """Return an archive with one member, of the kind that its name tells."""
    if name.endswith("tar.gz"):
        return tarred(member, content)
    return zipped({member: content}) if name.endswith("zip") else renamed(member, content)


def renamed(member: str, content: bytes) -> bytes:
    """Return a 7z archive whose member has a name that the library would not write."""
    buffer, name = io.BytesIO(), "x" * len(member)
    with py7zr.SevenZipFile(buffer, "w") as file:
        file.set_encoded_header_mode(False)
        file.writestr(content, name)
    raw = buffer.getvalue().replace(name.encode("utf-16-le"), member.encode("utf-16-le"))
    begin = 32 + int.from_bytes(raw[12:20], "little")
    start = raw[12:28] + zlib.crc32(raw[begin:]).to_bytes(4, "little")
    return raw[:8] + zlib.crc32(start).to_bytes(4, "little") + start + raw[32:]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_archive_is_unpacked_with_those_inside_it(tmp_path: Path) -> None:
    inside = {
        "inner.zip": zipped({"b.csv": b"2"}),
        "more.TGZ": tarred("deep/c.csv", b"3"),
        "last.7z": sevened({"deep/d.csv": b"4", "e.csv": b""}),
        "obp-0.whl": zipped({"f.csv": b"5"}),
    }
    path = tmp_path / "outer.zip"
    path.write_bytes(zipped({"a.csv": b"1", **inside}))
    unpack(path)
    unpacked = {
        "a.csv",
        "inner/b.csv",
        "more/deep/c.csv",
        "last/deep/d.csv",
        "last/e.csv",
        "obp-0/f.csv",
    }
    assert files(tmp_path) == {"outer.zip", *(f"outer/{name}" for name in unpacked)}
    assert (tmp_path / "outer" / "last" / "deep" / "d.csv").read_bytes() == b"4"
    (tmp_path / "outer" / "a.csv").write_bytes(b"marked")
    unpack(path)
    assert (tmp_path / "outer" / "a.csv").read_bytes() == b"marked"


def test_a_file_that_is_no_archive_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(b"anything")
    unpack(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("bad.zip", "../evil"),
        ("bad.zip", "/evil"),
        ("bad.zip", "a/../../evil"),
        ("bad.zip", "..\\evil"),
        ("bad.tar.gz", "../evil"),
        ("bad.tar.gz", "/evil"),
        ("bad.7z", "../evil"),
        ("bad.7z", "a/../../evil"),
        ("bad.tar.gz", "a/../../evil"),
    ],
)
def test_an_archive_that_leads_out_of_its_folder_is_refused(
    tmp_path: Path, name: str, member: str
) -> None:
    path = tmp_path / "raw" / name
    path.parent.mkdir()
    path.write_bytes(packed(name, member, b"evil"))
    with pytest.raises(DataError, match=rf"{re.escape(str(path))} is refused: its member .*evil"):
        unpack(path)
    assert files(tmp_path) == {f"raw/{name}"}


def test_a_hostile_archive_inside_a_good_one_is_refused_with_it(tmp_path: Path) -> None:
    path = tmp_path / "outer.zip"
    path.write_bytes(zipped({"a.csv": b"1", "inner.zip": zipped({"../../evil": b"evil"})}))
    with pytest.raises(DataError, match="is refused"):
        unpack(path)
    assert files(tmp_path) == {"outer.zip"}


@pytest.mark.parametrize("name", ["bad.zip", "bad.tar.gz", "bad.7z"])
def test_a_damaged_archive_is_named_and_leaves_no_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    whole = packed(name, "a.csv", bytes(i * i % 251 for i in range(5000)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=rf"{name} cannot be unpacked: .*get it again"):
        unpack(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_tar_whose_checksum_is_wrong_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bad.tar.gz"
    whole = tarred("a.csv", b"1,2,3")
    path.write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    with pytest.raises(DataError, match=r"bad\.tar\.gz cannot be unpacked: CRC check failed .*get"):
        unpack(path)
    path.unlink()
    path = tmp_path / "bad.tar.bz2"
    path.write_bytes(bz2.compress(gzip.decompress(whole))[:-6] + bytes(6))
    with pytest.raises(DataError, match=r"bad\.tar\.bz2 cannot be unpacked: Invalid data stream; "):
        unpack(path)
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_disk_is_not_one_of_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "rows.tar.gz"
    path.write_bytes(tarred("a.csv", b"1"))
    monkeypatch.setattr(tarfile.TarFile, "extract", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(path)


@pytest.mark.parametrize("other", ["data/a.csv", "data", "data.tar.gz"])
def test_an_inner_archive_replaces_no_folder_of_its_name(tmp_path: Path, other: str) -> None:
    path = tmp_path / "outer.zip"
    inside = {"data.zip": zipped({"b.csv": b"2"})}
    path.write_bytes(zipped(inside | {other: tarred("c.csv", b"3")}))
    with pytest.raises(DataError, match=r"outer\.zip is refused: it has both data\S* and data, in"):
        unpack(path)
    assert list(tmp_path.iterdir()) == [path]


def test_an_archive_with_a_password_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "locked.7z"
    path.write_bytes(sevened({"a.csv": b"1"}, password="secret"))
    with pytest.raises(DataError, match="cannot be unpacked: Password is required"):
        unpack(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_link_in_a_tar_is_refused_wherever_it_leads(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "bad.tar.gz"
    path.write_bytes(tarred("rows.csv", b"", kind, link="a.csv"))
    with pytest.raises(DataError, match=r"its member 'rows\.csv' is a link or a device"):
        unpack(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_a_7z_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1")
    (tmp_path / "rows.csv").symlink_to(tmp_path / "a.csv")
    path = tmp_path / "bad.7z"
    with py7zr.SevenZipFile(path, "w") as file:
        file.write(tmp_path / "rows.csv", "rows.csv")
    with pytest.raises(DataError, match=r"its member 'rows\.csv' is a link or a device"):
        unpack(path)


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz", "bomb.7z"])
def test_a_bomb_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(archive, "FLOOR", 1 << 16)
    path = tmp_path / name
    path.write_bytes(packed(name, "rows.csv", bytes(1 << 22)))
    with pytest.raises(DataError, match=r"refused: with 'rows\.csv' it becomes more than [\d,]+ b"):
        unpack(path)
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.setattr(archive, "RATIO", 10_000)
    unpack(path)
    assert (tmp_path / "bomb" / "rows.csv").stat().st_size == 1 << 22


@pytest.mark.parametrize("name", ["many.zip", "many.7z"])
def test_many_empty_members_are_a_bomb_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(archive, "FLOOR", 1 << 14)
    monkeypatch.setattr(archive, "RATIO", 1)
    members = {f"{i}.csv": b"" for i in range(100)}
    path = tmp_path / name
    path.write_bytes(zipped(members) if name.endswith("zip") else sevened(members))
    with pytest.raises(DataError, match=r"refused: with '\d+\.csv' it becomes more than"):
        unpack(path)


def test_small_archives_in_one_share_what_it_may_become(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "FLOOR", 1 << 16)
    monkeypatch.setattr(archive, "RATIO", 1)
    path = tmp_path / "outer.zip"
    path.write_bytes(zipped({f"{i}.zip": zipped({"rows.csv": bytes(30_000)}) for i in range(3)}))
    with pytest.raises(DataError, match=r"outer\.zip is refused: with 'rows\.csv' it becomes more"):
        unpack(path)
    assert list(tmp_path.iterdir()) == [path]


def test_an_endless_nest_is_refused(tmp_path: Path) -> None:
    content = b"1"
    for _ in range(archive.DEPTH + 1):
        content = zipped({"inner.zip": content})
    path = tmp_path / "outer.zip"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"outer\.zip is refused: archives in it are nested 4 deep"):
        unpack(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_without_room_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.zip"
    path.write_bytes(zipped({"rows.csv": bytes(5000)}))
    room = shutil.disk_usage(tmp_path)._replace(free=4000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    with pytest.raises(DataError, match="more than the 4,000 bytes left on the disk: make room"):
        unpack(path)


@pytest.mark.parametrize("name", ["rows.zip", "rows.tar.gz", "rows.7z"])
def test_backslashes_in_names_part_folders(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(packed(name, "retail\\part\\a.csv", b"1"))
    unpack(path)
    assert files(tmp_path) == {name, "rows/retail/part/a.csv"}
    assert (tmp_path / "rows/retail/part/a.csv").read_bytes() == b"1"


def test_a_folder_written_with_a_backslash_is_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.zip"
    path.write_bytes(zipped({"a\\": b"", "a\\b.csv": b"1", "a\\c/d.csv": b"2"}))
    unpack(path)
    assert files(tmp_path) == {"rows.zip", "rows/a/b.csv", "rows/a/c/d.csv"}
    path.write_bytes(zipped({"a/b.csv": b"1", "a\\b.csv": b"2"}))
    shutil.rmtree(tmp_path / "rows")
    with pytest.raises(DataError, match=r"is refused: it has two members named a/b\.csv"):
        unpack(path)


@pytest.mark.parametrize("pack", [zipped, sevened])
def test_what_a_file_manager_adds_to_an_archive_is_left_out(
    tmp_path: Path, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    path = tmp_path / ("rows.zip" if pack is zipped else "rows.7z")
    added = ("__MACOSX/._inner.zip", "__MACOSX/data/._a.csv", "data/.DS_Store", "._data")
    path.write_bytes(
        pack(
            {"data/a.csv": b"1", "inner.zip": zipped({"b.csv": b"2"})} | dict.fromkeys(added, b"?")
        )
    )
    unpack(path)
    assert files(tmp_path) == {path.name, "rows/data/a.csv", "rows/inner/b.csv"}
    assert not (tmp_path / "rows" / "__MACOSX").exists()


def test_an_archive_whose_content_lies_beside_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1")
    path = tmp_path / "a.csv.zip"
    path.write_bytes(zipped({"a.csv": b"1"}))
    unpack(path)
    assert files(tmp_path) == {"a.csv", "a.csv.zip"}
