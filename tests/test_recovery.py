"""What a killed DVC leaves behind: removed where no process works with it, else left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dvc.cli import main as dvc

from benchmark.recovery import LOCKFILE, RWLOCK, recovered, unreadable

WHOLE = {
    RWLOCK: '{"write": {}, "read": {"/a": [{"pid": 1, "cmd": "dvc repro"}]}}',
    LOCKFILE: "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    deps:\n    - path: a\n      md5: b19",
}


def write(folder: Path, name: Path, text: str) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_cut_off_anywhere_is_found_and_what_is_whole_is_not(
    name: Path, tmp_path: Path
) -> None:
    text = WHOLE[name]
    path = write(tmp_path, name, text)
    assert unreadable(tmp_path) == []
    for cut in ("", text[:1], text[:10], "\x00" * len(text)):
        path.write_text(cut, encoding="utf-8")
        assert unreadable(tmp_path) == [path], cut
    [(says, mended)] = recovered(tmp_path)
    assert mended
    assert says == f"{path} was left unreadable by a killed run and is removed"
    assert not path.exists()
    assert list(recovered(tmp_path)) == []


def test_what_a_live_process_works_with_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, RWLOCK, "")
    program = write(tmp_path, Path("bin/dvc"), "print(flush=True); input()")
    command = [sys.executable, str(program)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        [(says, mended)] = recovered(tmp_path)
        process.kill()
    assert not mended
    assert f"process {process.pid} works with it" in says
    assert path.exists()


def test_dvc_goes_on_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, Path(".dvc/config"), "[core]\n    no_scm = true\n    analytics = false\n")
    write(tmp_path, Path("dvc.yaml"), "stages:\n  a:\n    cmd: echo done > out\n    outs: [out]\n")
    for name in WHOLE:
        write(tmp_path, name, "")

    monkeypatch.chdir(tmp_path)
    assert dvc(["repro"]) != 0
    assert len(list(recovered(tmp_path))) == 2
    assert dvc(["repro"]) == 0
    assert (tmp_path / "out").read_text(encoding="utf-8") == "done\n"
