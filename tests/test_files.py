"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmark import files
from benchmark.files import (
    DamagedError,
    read_json,
    read_record,
    replacing,
    replacing_folder,
    write_json,
    write_text,
)
from benchmark.registry import ROOT


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", ["", "{", '{"a": 1', "\x00" * 40, "nonsense"])
def test_a_damaged_file_is_named_and_a_record_of_it_counts_as_absent(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "task.json"
    assert read_record(path) is None
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DamagedError, match=rf"^{re.escape(str(path))} is no whole JSON file: .*;"):
        read_json(path)
    assert read_record(path) is None
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DamagedError, match=re.escape(str(path))):
        read_json(path)
    write_json(path, {"a": 1})
    assert read_record(path) == read_json(path) == {"a": 1}


def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as temporary:
        temporary.write_text("half of it \ud800", encoding="utf-8")
    with pytest.raises(ValueError, match="nan"):
        write_json(path, float("nan"))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_what_a_killed_process_leaves_is_replaced_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    code = (
        "import os, signal, sys; from pathlib import Path; from benchmark.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half of something long')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
        assert names(tmp_path) == [".a.txt.tmp"]
    write_text(path, "new")
    assert names(tmp_path) == ["a.txt"]
    assert path.read_text() == "new"


def test_writers_of_one_path_wait_for_each_other(tmp_path: Path) -> None:
    path, inside = tmp_path / "a.json", []

    def write(number: int) -> None:
        for _ in range(20):
            with replacing(path) as temporary:
                inside.append(number)
                assert inside == [number]
                temporary.write_text(json.dumps([number] * 1000))
                inside.remove(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(read_json(path))) == 1
    assert inside == []
    assert names(tmp_path) == ["a.json"]


def test_content_is_on_the_disk_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []

    def sync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(files.os, "fsync", sync)
    write_text(tmp_path / "a.txt", "x")
    assert synced == [tmp_path / ".a.txt.tmp", tmp_path]
    synced.clear()
    with replacing_folder(tmp_path / "b") as folder:
        (folder / "c").mkdir()
        (folder / "c" / "d.txt").write_text("x")
    temporary = tmp_path / ".b.tmp"
    assert {*synced} == {temporary / "c" / "d.txt", temporary / "c", temporary, tmp_path}
    assert synced[-2:] == [temporary, tmp_path]
