"""A small run of the driver that soaks for an hour by `make soak`, and what it would notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import soak

from benchmark.files import write_text


def test_a_small_run_finds_nothing() -> None:
    said = list[str]()
    counts = {"faults": 4, "files": 5, "configs": 5}  # test_run.py kills runs
    assert soak.soak(counts, 7, said.append) == 0
    assert {line.split(":")[0] for line in said} == counts.keys() <= soak.KINDS.keys()
    assert all(line.endswith("; 0 faults") for line in said)


def test_what_is_not_as_it_must_be_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(soak.KINDS, "files", (lambda n, _: n * [("read", "it hung")], 1))
    said = list[str]()
    assert soak.soak({"files": 2}, 0, said.append) == 2
    assert said == ["files: 2 from seed 0: 2 read; 2 faults", "  it hung", "  it hung"]


def test_an_operation_fails_where_it_is_told_to(tmp_path: Path) -> None:
    with soak._failing(None) as calls:
        write_text(tmp_path / "a", "old")
    assert {"fsync", "write_text", "replace"} <= set(calls)
    for place in range(len(calls)):
        with pytest.raises(OSError, match="No space"), soak._failing(place):
            write_text(tmp_path / "a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_that_no_adapter_may_pass_over_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: object, **__: object) -> None:
        raise BaseException("a panic")

    monkeypatch.setattr(soak, "preprocess", panic)
    answer, fault = soak.damaged(3)
    assert answer == "traceback"
    assert fault.endswith("BaseException: a panic")
