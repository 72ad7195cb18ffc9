"""What a download is compared with, and the logins that some need."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.servers import BODY, OTHER, PAGE, SHA, Server, fetch, lock, pins, put

from benchmark.data.dataset import DataError, Source
from benchmark.data.fetching import tokens
from benchmark.data.fetching.checksums import Checksums
from benchmark.data.fetching.download import is_verified
from benchmark.data.fetching.raw import Entry

pytest_plugins = ["helpers.serving"]


def test_the_first_download_is_pinned_and_only_the_next_one_verified(
    server: Server, raw: Path, manual: Path
) -> None:
    source = server.source("plain", sha256=None)
    for _ in range(2):  # that it equals itself proves nothing
        fetch("log", [source], raw, manual)
        assert pins(raw) == ["first use"]
        assert not is_verified(raw)
    assert json.loads(lock(raw).read_text()) == {source.url: {"sha256": SHA, "size": len(BODY)}}
    shutil.rmtree(raw)
    fetch("log", [source], raw, manual)
    assert pins(raw) == ["lock"]
    assert is_verified(raw)
    assert len(server.asked) == 2


def test_another_file_than_the_first_one_is_refused(
    server: Server, raw: Path, manual: Path
) -> None:
    source = server.source("plain", sha256=None)
    lock(raw).parent.mkdir(parents=True, exist_ok=True)
    lock(raw).write_text(json.dumps({source.url: {"sha256": "0" * 64, "size": len(BODY)}}))
    with pytest.raises(DataError, match=f"has SHA-256 {SHA}, expected 0000"):
        fetch("log", [source], raw, manual)
    assert not list(raw.iterdir())
    lock(raw).write_text(json.dumps({source.url: {"sha256": SHA, "size": 7}}))
    with pytest.raises(DataError, match=f"has {len(BODY)} bytes, expected 7"):
        fetch("log", [source], raw, manual)


def test_a_file_that_cannot_be_unpacked_is_not_pinned(
    server: Server, raw: Path, manual: Path
) -> None:
    url = server.source("plain").url
    with pytest.raises(DataError, match=r"body\.zip cannot be unpacked"):
        fetch("log", [Source(file="body.zip", page=PAGE, url=url)], raw, manual)
    assert not lock(raw).exists()


def test_a_download_that_may_be_a_part_is_not_pinned(
    server: Server, raw: Path, manual: Path
) -> None:
    source = server.source("no-length", sha256=None)  # half of it comes, and no error
    for _ in range(2):
        fetch("log", [source], raw, manual)
        assert pins(raw) == ["no length"]
    assert not lock(raw).exists()
    assert not is_verified(raw)
    assert len(server.asked) == 1


def test_a_cut_off_gz_without_a_length_is_refused(
    server: Server, raw: Path, manual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(BODY)
    source = replace(server.source("no-length", sha256=None), file="body.csv.gz")
    monkeypatch.setattr("helpers.servers.BODY", packed)
    with pytest.raises(DataError, match=r"no-length was cut off or damaged: .*; try again"):
        fetch("log", [source], raw, manual)
    assert not list(raw.iterdir())
    fetch("log", [source], raw, manual)
    assert (raw / "body.csv.gz").read_bytes() == packed
    assert pins(raw) == ["first use"]


def test_two_downloads_at_once_keep_each_others_pins(tmp_path: Path) -> None:
    path = tmp_path / "pins.json"
    first, second = Checksums(path), Checksums(path)
    for pins_, url in ((first, "a"), (second, "b")):
        pins_.add(Entry(file=url, size=1, sha256=url * 64, origin=url, pin=None))
    assert set(json.loads(path.read_text())) == {"a", "b"}
    with pytest.raises(
        DataError, match=r"a has SHA-256 0000.* pinned other content in .* meanwhile"
    ):
        second.add(Entry(file="a", size=1, sha256="0" * 64, origin="a", pin=None))


@pytest.mark.parametrize(("text", "says"), [("{", "is no JSON: "), ("[]", "is no JSON object")])
def test_a_damaged_lock_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "pins.json").write_text(text)
    with pytest.raises(DataError, match=rf"pins\.json {says}.*; restore it from git"):
        Checksums(tmp_path / "pins.json")


def test_what_a_person_got_is_never_pinned_but_compared_with_pins(
    server: Server, raw: Path, manual: Path
) -> None:
    source = server.source("plain", sha256=None)
    put(manual, {"body.bin": BODY})
    fetch("log", [source], raw, manual)
    assert pins(raw) == [None]
    (manual / "body.bin").unlink()
    fetch("log", [source], raw, manual)
    assert pins(raw) == [None]
    assert not lock(raw).exists()
    shutil.rmtree(raw)
    fetch("log", [source], raw, manual)
    put(manual, {"body.bin": BODY})
    fetch("log", [source], raw.with_name("copy"), manual)
    assert pins(raw.with_name("copy")) == ["lock"]
    put(manual, {"body.bin": OTHER})
    with pytest.raises(DataError, match=r"body\.bin \(manual\) has SHA-256 .*, expected"):
        fetch("log", [source], raw.with_name("copy"), manual)


def test_a_token_is_asked_for_and_sent(
    server: Server, raw: Path, manual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = tokens.Login("LOG_TOKEN", "https://example.org/tokens")
    monkeypatch.setattr(tokens, "LOGINS", {"127.0.0.1": login})
    monkeypatch.delenv("LOG_TOKEN", raising=False)
    source = server.source("members-only")
    with pytest.raises(DataError) as error:
        fetch("log", [source], raw, manual)
    assert str(error.value) == (
        f"{source.url}: 401 Unauthorized; accept the terms at {PAGE} while logged in, put a token "
        f"from {login.page} into the environment variable LOG_TOKEN and run this again; or get "
        f"body.bin from {PAGE} by hand, put it into {manual}/ and run this again"
    )
    monkeypatch.setenv("LOG_TOKEN", " secret\n")
    with pytest.raises(DataError, match="403 Forbidden; the token in LOG_TOKEN was sent; if it is"):
        fetch("log", [server.source("403")], raw, manual)
    fetch("log", [source], raw, manual)
    assert (raw / "body.bin").read_bytes() == BODY
    assert server.tokens == [None, "Bearer secret", "Bearer secret"]
    assert "secret" not in (raw / "manifest.json").read_text()


@pytest.mark.parametrize("token", ["sec ret", "sec\nret", "s\u00e9cret", "sec\x7fret"])
def test_what_is_no_token_is_neither_sent_nor_told(
    server: Server, raw: Path, manual: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    login = tokens.Login("LOG_TOKEN", "https://example.org/tokens")
    monkeypatch.setattr(tokens, "LOGINS", {"127.0.0.1": login})
    monkeypatch.setenv("LOG_TOKEN", token)
    with pytest.raises(DataError) as error:
        fetch("log", [server.source("members-only")], raw, manual)
    assert str(error.value).startswith("the token in the environment variable LOG_TOKEN has a ")
    assert not {"sec", "cret", token} & {*str(error.value).split()}
    assert not server.asked


def test_a_signed_address_is_not_told(server: Server, raw: Path, manual: Path) -> None:
    with pytest.raises(DataError, match=r"with url: /always-drops\?\.\.\. ") as error:
        fetch("log", [server.source("leads-on")], raw, manual)
    assert "signature" not in str(error.value)
    assert f"put it into {manual}/" in str(error.value)


def test_a_token_is_for_its_own_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert tokens.authorization("https://huggingface.co/datasets/a/b/resolve/main/c.gz")
    assert not tokens.authorization("https://huggingface.co.example.org/c.gz")
    assert not tokens.authorization("https://example.org/huggingface.co/c.gz")


def test_a_pin_added_later_is_checked_against_what_is_there(
    server: Server, raw: Path, manual: Path
) -> None:
    fetch("log", [server.source("plain", sha256=None)], raw, manual)
    fetch("log", [server.source("plain")], raw, manual)
    assert pins(raw) == ["adapter"]
    assert is_verified(raw)
    with pytest.raises(DataError, match=f"SHA-256 {SHA}, expected 0000"):
        fetch("log", [server.source("plain", sha256="0" * 64)], raw, manual)
    assert len(server.asked) == 1
