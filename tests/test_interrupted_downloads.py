"""What an interrupted download, or another list of sources, finds in a raw folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.servers import BODY, PAGE, Server, fetch, lock, manifest, pins, put

from benchmark.data.dataset import DataError, Source
from benchmark.data.fetching import download

pytest_plugins = ["helpers.serving"]


def names(raw: Path) -> list[str]:
    return sorted(path.name for path in raw.iterdir())


@pytest.mark.parametrize("content", [b"a sample", b"no archive"])
def test_a_manual_file_is_never_taken_for_a_download(
    server: Server, raw: Path, manual: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    source = server.source("plain", sha256=None)
    put(manual, {"body.bin": content, "bad.zip": b"no archive"})
    if content == b"a sample":
        monkeypatch.setattr(download, "unpack", interrupt)
    with pytest.raises((DataError, KeyboardInterrupt)):
        fetch("log", [source], raw, manual)
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for path in manual.iterdir():
        path.unlink()
    fetch("log", [source], raw, manual)
    assert (raw / "body.bin").read_bytes() == BODY
    assert names(raw) == ["body.bin", "manifest.json"]


def interrupt(_: Path) -> None:
    raise KeyboardInterrupt


def test_a_part_that_lacks_nothing_is_not_fetched_again(
    server: Server, raw: Path, manual: Path
) -> None:
    put(raw, {"body.bin.part": BODY})
    fetch("log", [server.source("plain")], raw, manual)
    assert (raw / "body.bin").read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY)}-"]
    assert names(raw) == ["body.bin", "manifest.json"]


def test_one_more_source_is_fetched_alone(server: Server, raw: Path, manual: Path) -> None:
    first = server.source("plain", sha256=None)
    more = replace(server.source("encoded", sha256=None), file="more.bin")
    failing = Source(file="last.bin", page=PAGE, url=server.source("404").url)
    fetch("log", [first], raw, manual)
    with pytest.raises(DataError, match="404"):
        fetch("log", [first, more, failing], raw, manual)
    assert names(raw) == ["body.bin", "more.bin", "unfinished.json"]
    fetch("log", [first, more], raw, manual)
    assert [path for path, _ in server.asked] == ["plain", "encoded", "404"]
    assert names(raw) == ["body.bin", "manifest.json", "more.bin"]
    assert pins(raw) == ["first use", "first use"]  # the first one is not verified by itself
    assert [entry["file"] for entry in manifest(raw)["files"]] == ["body.bin", "more.bin"]
    assert lock(raw).is_file()


def test_what_was_changed_meanwhile_is_fetched_again(
    server: Server, raw: Path, manual: Path
) -> None:
    first = server.source("plain", sha256=None)
    fetch("log", [first], raw, manual)
    (raw / "body.bin").write_bytes(BODY[:-1])
    more = replace(server.source("encoded", sha256=None), file="more.bin")
    fetch("log", [first, more], raw, manual)
    assert (raw / "body.bin").read_bytes() == BODY
