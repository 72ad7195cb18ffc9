"""Fetching raw files from a local server that misbehaves on purpose, and from a person's folder."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from helpers.servers import BODY, OTHER, PAGE, SHA, Server, fetch, lock, manifest, put

from benchmark.data.dataset import DataError, Source
from benchmark.data.fetching import http
from benchmark.data.fetching.download import is_verified
from benchmark.data.fetching.raw import find, find_all

pytest_plugins = ["helpers.serving"]


def by_hand(manual: Path) -> str:
    """Return the way round that every failed download names."""
    return f"; or get body.bin from {PAGE} by hand, put it into {manual}/ and run this again"


def test_a_pinned_file_is_fetched_recorded_and_not_fetched_again(
    server: Server, raw: Path, manual: Path
) -> None:
    source = server.source("plain", size=len(BODY))
    fetch("log", [source], raw, manual)
    entry = {
        "file": "body.bin", "size": len(BODY), "sha256": SHA, "origin": source.url, "pin": "adapter"
    }  # fmt: skip
    assert (raw / "body.bin").read_bytes() == BODY
    assert manifest(raw) == {
        "verified": True, "manual": manual.as_posix(), "files": [entry], "content": []
    }  # fmt: skip
    assert not lock(raw).exists()
    assert is_verified(raw)
    fetch("log", [source], raw, manual)
    assert server.ranges == [None]


@pytest.mark.parametrize(
    ("behaviour", "ranges"),
    [
        ("drops-once", [None, f"bytes={len(BODY) // 2}-"]),
        ("ignores-range", [None, f"bytes={len(BODY) // 2}-"]),
        ("busy-at-first", [None, None, None]),
    ],
)
def test_a_failing_server_is_asked_again_for_what_is_missing(
    server: Server, raw: Path, manual: Path, behaviour: str, ranges: list[str | None]
) -> None:
    fetch("log", [server.source(behaviour)], raw, manual)
    assert (raw / "body.bin").read_bytes() == BODY
    assert server.ranges == ranges
    assert sorted(path.name for path in raw.iterdir()) == ["body.bin", "manifest.json"]


def test_a_server_that_asks_to_wait_for_hours_is_asked_earlier(
    server: Server, raw: Path, manual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "LONGEST_WAIT", 0)
    fetch("log", [server.source("busy-for-hours")], raw, manual)
    assert (raw / "body.bin").read_bytes() == BODY
    assert len(server.asked) == 2


def test_what_a_killed_run_left_is_resumed(server: Server, raw: Path, manual: Path) -> None:
    (raw / "body.bin.part").parent.mkdir(parents=True)
    (raw / "body.bin.part").write_bytes(BODY[:1000])
    fetch("log", [server.source("plain")], raw, manual)
    assert (raw / "body.bin").read_bytes() == BODY
    assert server.ranges == ["bytes=1000-"]


def test_a_partial_file_that_cannot_be_resumed_is_fetched_anew(
    server: Server, raw: Path, manual: Path
) -> None:
    raw.mkdir(parents=True)
    (raw / "body.bin.part").write_bytes(BODY * 2)
    fetch("log", [server.source("too-short")], raw, manual)
    assert (raw / "body.bin").read_bytes() == BODY
    assert server.ranges == [f"bytes={2 * len(BODY)}-", None]


def test_half_of_one_version_is_not_completed_with_another(
    server: Server, raw: Path, manual: Path
) -> None:
    fetch("log", [server.source("replaced", sha256=None)], raw, manual)
    assert (raw / "body.bin").read_bytes() == OTHER
    assert server.ranges == [None, f"bytes={len(BODY) // 2}-"]
    assert sorted(path.name for path in raw.iterdir()) == ["body.bin", "manifest.json"]


def test_bytes_are_kept_as_sent_whatever_encoding_is_declared(
    server: Server, raw: Path, manual: Path
) -> None:
    fetch("log", [server.source("encoded")], raw, manual)
    assert (raw / "body.bin").read_bytes() == BODY


def test_a_length_that_is_a_lie_is_found_by_size_or_hash(
    server: Server, raw: Path, manual: Path
) -> None:
    with pytest.raises(DataError, match=f"has {len(BODY) // 2} bytes, expected {len(BODY)}"):
        fetch("log", [server.source("claims-less", size=len(BODY))], raw, manual)
    with pytest.raises(DataError, match=f"expected {SHA}"):
        fetch("log", [server.source("claims-less")], raw, manual)


def test_a_file_longer_than_declared_is_cut_off_early(
    server: Server, raw: Path, manual: Path
) -> None:
    with pytest.raises(DataError, match=r"no-length is longer than the 1,000 bytes declared; or "):
        fetch("log", [server.source("no-length", sha256=None, size=1000)], raw, manual)
    assert not (raw / "body.bin.part").exists()


def test_a_circle_of_addresses_is_one_sentence(server: Server, raw: Path, manual: Path) -> None:
    with pytest.raises(DataError) as error:
        fetch("log", [server.source("circle")], raw, manual)
    assert str(error.value).endswith(by_hand(manual))
    assert "signature" not in str(error.value)


def test_links_among_manual_files_are_followed(raw: Path, manual: Path, tmp_path: Path) -> None:
    put(tmp_path / "disk", {"part/a.csv": b"1", "b.csv": b"2"})
    put(manual, {"c.csv": b"3"})
    (manual / "more").symlink_to(tmp_path / "disk")
    (manual / "d.csv").symlink_to(tmp_path / "disk" / "b.csv")
    fetch("log", [Source(file="a.csv", page=PAGE)], raw, manual)
    found = {entry["file"] for entry in manifest(raw)["files"]}
    assert found == {"c.csv", "d.csv", "more/b.csv", "more/part/a.csv"}
    assert (raw / "more" / "part" / "a.csv").read_bytes() == b"1"
    assert not any(path.is_symlink() for path in raw.rglob("*"))


@pytest.mark.parametrize(
    ("link", "target", "says"),
    [
        ("part/back", "..", "a link back to a folder that it lies in"),
        ("part/self", "self", "a link to nothing"),
        ("gone.csv", "nowhere.csv", "a link to nothing"),
    ],
)
def test_a_link_in_a_circle_or_to_nothing_is_refused(
    raw: Path, manual: Path, link: str, target: str, says: str
) -> None:
    put(manual, {"part/a.csv": b"1"})
    (manual / link).symlink_to(target)
    with pytest.raises(DataError, match=rf"{link} is {says}: remove it"):
        fetch("log", [Source(file="a.csv", page=PAGE)], raw, manual)


def test_what_file_managers_add_to_a_manual_folder_is_left_out(raw: Path, manual: Path) -> None:
    names = ("__MACOSX/._a.csv", ".DS_Store", "._a.csv", "Thumbs.db", "a.csv")
    put(manual, dict.fromkeys(names, b"1"))
    fetch("log", [Source(file="a.csv", page=PAGE)], raw, manual)
    assert [entry["file"] for entry in manifest(raw)["files"]] == ["a.csv"]


@pytest.mark.parametrize("archive", ["rows.csv.zip", "part/rows.csv.zip"])
@pytest.mark.parametrize("beside", [None, "rows.csv", "rows.csv/rows.csv", "other/rows.csv"])
def test_an_archive_beside_its_content_counts_once(
    raw: Path, manual: Path, archive: str, beside: str | None
) -> None:
    put(manual, {archive: b"", **({beside: b"1,2"} if beside else {})})
    with zipfile.ZipFile(manual / archive, "w") as file:
        file.writestr("rows.csv", "1,2")
    for _ in range(2):
        fetch("log", [Source(file="rows.csv.zip", page=PAGE)], raw, manual)
        assert find(raw, "rows.csv*").read_bytes() == b"1,2"
        assert len(find_all(raw, "rows.csv*")) == 1
        assert not is_verified(raw)


def test_what_is_packed_in_a_file_counts_once_whatever_that_is_called(raw: Path) -> None:
    put(raw, {"a.csv": b"1,2", "b.csv.gz": gzip.compress(b"1,2"), "c.csv.gz": b"1,2"})
    assert find_all(raw, "*.csv*") == [raw / "a.csv", raw / "c.csv.gz"]
    put(raw, {"a.csv": b"1,2", "a.csv.gz": gzip.compress(b"1,3")})
    assert find_all(raw, "a.csv*") == [raw / "a.csv", raw / "a.csv.gz"]


def test_files_of_a_name_with_other_content_are_not_one(raw: Path) -> None:
    put(raw, {"a/rows.csv": b"1,2", "b/rows.csv": b"1,3", "c/rows.csv": b"1,2"})
    with pytest.raises(DataError, match=r"holds 2 files named rows\.csv, expected one: "):
        find(raw, "rows.csv")
    assert find_all(raw, "rows.csv") == [raw / "a/rows.csv", raw / "b/rows.csv"]
    with pytest.raises(DataError, match="holds 0 files named x, expected one or more"):
        find_all(raw, "x")


@pytest.mark.parametrize("file", ["rows.zip", "rows/rows.csv"])
def test_an_edited_raw_file_is_noticed_and_made_again(raw: Path, manual: Path, file: str) -> None:
    manual.mkdir(parents=True)
    with zipfile.ZipFile(manual / "rows.zip", "w") as archive:
        archive.writestr("rows.csv", "1,2")
    whole = (manual / "rows.zip").read_bytes()
    source = Source(file="rows.zip", page=PAGE, sha256=hashlib.sha256(whole).hexdigest())
    fetch("log", [source], raw, manual)
    assert manifest(raw)["content"] == [
        {"file": "rows/rows.csv", "size": 3, "sha256": hashlib.sha256(b"1,2").hexdigest()}
    ]
    assert is_verified(raw)
    path, content = raw / file, (raw / file).read_bytes()
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.unlink()
    path.write_bytes(content[:-1] + b"x")
    os.utime(path, ns=times)  # as a copy that keeps times does
    with pytest.raises(
        DataError, match=rf"{file} is not what .*manifest\.json records: .* run `py"
    ):
        is_verified(raw)
    fetch("log", [source], raw, manual)
    assert is_verified(raw)
    assert (raw / file).read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"{", b'{"files": ['])
def test_a_damaged_manifest_counts_as_absent(
    server: Server, raw: Path, manual: Path, content: bytes
) -> None:
    source = server.source("plain")
    fetch("log", [source], raw, manual)
    (raw / "manifest.json").write_bytes(content)
    with pytest.raises(FileNotFoundError, match="python -m benchmark download log"):
        is_verified(raw)
    fetch("log", [source], raw, manual)
    assert is_verified(raw)


def test_a_web_page_is_no_file(server: Server, raw: Path, manual: Path) -> None:
    source = server.source("web-page", sha256=None)
    with pytest.raises(DataError) as error:
        fetch("log", [source], raw, manual)
    assert str(error.value) == (
        f"{source.url} is a web page, not body.bin; its address may have changed{by_hand(manual)}"
    )
    assert not lock(raw).exists()


def test_a_full_disk_is_said_before_anything_is_written(
    server: Server, raw: Path, manual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = shutil.disk_usage(raw.parent.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    with pytest.raises(DataError, match=f"needs {len(BODY):,} more bytes .* has only 1,000 left"):
        fetch("log", [server.source("plain")], raw, manual)
    assert not list(raw.iterdir())


def test_a_connection_that_always_drops_keeps_the_part_for_the_next_run(
    server: Server, raw: Path, manual: Path
) -> None:
    with pytest.raises(DataError, match=r"always-drops: .*run it again to resume"):
        fetch("log", [server.source("always-drops")], raw, manual)
    part = (raw / "body.bin.part").read_bytes()
    assert BODY.startswith(part)
    assert len(part) == len(BODY) * 7 // 8
    with pytest.raises(FileNotFoundError):
        is_verified(raw)


def test_other_content_than_pinned_is_refused_and_not_kept(
    server: Server, raw: Path, manual: Path
) -> None:
    source = server.source("plain", sha256="0" * 64)
    with pytest.raises(DataError, match=f"plain has SHA-256 {SHA}, expected 0000.*{PAGE}"):
        fetch("log", [source], raw, manual)
    assert not list(raw.iterdir())


def test_another_size_than_pinned_is_refused_before_the_download(
    server: Server, raw: Path, manual: Path
) -> None:
    with pytest.raises(DataError, match=f"has {len(BODY)} bytes, expected 7"):
        fetch("log", [server.source("plain", size=7)], raw, manual)
    assert not (raw / "body.bin").exists()


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (404, "404 Not Found; its address may have changed"),
        (403, "403 Forbidden; its address may have changed"),
        (500, "500 Internal Server Error; try again later"),
        (429, "429 Too Many Requests; try again later"),
    ],
)
def test_a_refusal_is_one_sentence(
    server: Server, raw: Path, manual: Path, status: int, says: str
) -> None:
    source = server.source(str(status))
    with pytest.raises(DataError) as error:
        fetch("log", [source], raw, manual)
    assert str(error.value) == f"{source.url}: {says}{by_hand(manual)}"
    assert len(server.asked) == (http.TRIES if status in http.BUSY else 1)


def test_whole_files_of_an_interrupted_run_are_not_fetched_again(
    server: Server, raw: Path, manual: Path
) -> None:
    first, second = server.source("plain"), server.source("404")
    second = Source(file="second.bin", page=PAGE, url=second.url)
    with pytest.raises(DataError, match="404"):
        fetch("log", [first, second], raw, manual)
    with pytest.raises(DataError, match="404"):
        fetch("log", [first, second], raw, manual)
    assert [path for path, _ in server.asked] == ["plain", "404", "404"]


def test_a_damaged_raw_file_is_fetched_again(server: Server, raw: Path, manual: Path) -> None:
    source = server.source("plain")
    fetch("log", [source], raw, manual)
    (raw / "body.bin").write_bytes(BODY[:-1])
    fetch("log", [source], raw, manual)
    assert (raw / "body.bin").read_bytes() == BODY


def test_manual_files_keep_their_folders_and_are_verified_by_name(raw: Path, manual: Path) -> None:
    put(manual, {"year/a.bin": BODY, "year/.hidden": b""})
    sources = [Source(file="a.bin", page=PAGE, sha256=SHA), Source(file="b.bin", page=PAGE)]
    fetch("log", sources, raw, manual)
    assert (raw / "year" / "a.bin").read_bytes() == BODY
    assert [entry["file"] for entry in manifest(raw)["files"]] == ["year/a.bin"]
    assert is_verified(raw)


def test_a_sample_is_taken_but_not_verified(server: Server, raw: Path, manual: Path) -> None:
    put(manual, {"body.bin": BODY, "sample.txt": b"few rows"})
    fetch("log", [server.source("plain")], raw, manual)
    assert (raw / "sample.txt").read_bytes() == b"few rows"
    assert not is_verified(raw)
    assert not server.asked


def test_a_manual_file_that_is_not_the_pinned_one_is_refused(raw: Path, manual: Path) -> None:
    put(manual, {"a.bin": b"other"})
    with pytest.raises(DataError, match=r"a\.bin \(manual\) has SHA-256 .*, expected"):
        fetch("log", [Source(file="a.bin", page=PAGE, sha256=SHA)], raw, manual)
    assert not raw.exists()


def test_other_manual_files_replace_all_that_was_raw(raw: Path, manual: Path) -> None:
    source = Source(file="full.txt", page=PAGE)
    put(manual, {"sample.txt": b"few rows"})
    fetch("log", [source], raw, manual)
    (manual / "sample.txt").unlink()
    put(manual, {"full.txt": b"many rows"})
    fetch("log", [source], raw, manual)
    assert sorted(path.name for path in raw.iterdir()) == ["full.txt", "manifest.json"]
    changed = manual / "full.txt"
    changed.unlink()  # raw may be another name of the same file
    changed.write_bytes(b"MANY ROWS")
    fetch("log", [source], raw, manual)
    assert (raw / "full.txt").read_bytes() == b"MANY ROWS"


def test_a_missing_manual_file_is_asked_for(raw: Path, manual: Path) -> None:
    sources = [Source(file=name, page=PAGE) for name in ("a.zip", "b.zip")]
    with pytest.raises(DataError) as error:
        fetch("log", sources, raw, manual)
    for word in ("log", "a.zip, b.zip", PAGE, str(manual)):
        assert word in str(error.value)
    assert not raw.exists()


def test_a_simulated_dataset_needs_nothing(raw: Path, manual: Path) -> None:
    fetch("log", [], raw, manual)
    assert manifest(raw)["files"] == []
    assert is_verified(raw)


def test_what_was_not_downloaded_is_not_verified_but_missing(raw: Path) -> None:
    with pytest.raises(FileNotFoundError, match="python -m benchmark download log"):
        is_verified(raw)


def test_archives_are_unpacked_beside_themselves(raw: Path, manual: Path) -> None:
    source = Source(file="rows.zip", page=PAGE)
    manual.mkdir(parents=True)
    with zipfile.ZipFile(manual / source.file, "w") as archive:
        archive.writestr("rows.csv", "1,2")
    fetch("log", [source], raw, manual)
    assert (raw / "rows" / "rows.csv").read_bytes() == b"1,2"
    shutil.rmtree(raw / "rows")
    fetch("log", [source], raw, manual)
    assert (raw / "rows" / "rows.csv").read_bytes() == b"1,2"


def test_a_missing_file_of_a_derived_log_is_to_be_put_where_its_base_has_its_files(
    raw: Path, manual: Path
) -> None:
    put(manual, {"rows.csv": b"1"})
    derived = raw.with_name("derived")
    fetch("derived", [Source(file="rows.csv", page=PAGE)], derived, manual)
    assert find(derived, "rows.csv") == derived / "rows.csv"
    with pytest.raises(DataError) as error:
        find(derived, "more.csv")
    assert str(error.value) == (
        f"{derived} holds 0 files named more.csv, expected one: correct {manual}/ and run"
        " `python -m benchmark download derived`"
    )
    derived.joinpath("manifest.json").unlink()
    with pytest.raises(DataError, match="correct data/manual/derived/ and run"):
        find(derived, "more.csv")
