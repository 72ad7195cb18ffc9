"""The scripts of ``speed/`` run: small, so that their numbers mean nothing.

They run in this process, as do most of what they start: importing PyTorch takes seconds.
"""

from __future__ import annotations

import io
import re
import runpy
import subprocess
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmark.registry import ROOT

SPEED = ROOT / "speed"
SMALL = {
    "gpu": ["--device", "cpu", "--small", "--only", "throughput"],
    "vectorized": ["--methods", "esmm", "--models", "2", "--batches", "4096", "--rounds", "1"],
    "epochs": ["--rows", "4000", "--sizes", "1", "--batch", "256"],
    "training": ["--rows", "4096", "--only", "ours"],
    "startup": ["--help"],
    "on_gpu": ["--help"],
    "leaderboard": ["--help"],
    "auc": ["--rows", "1000"],
    "plan": ["--help"],
    "preprocess_aliccp": ["--rows", "8000", "--compared", "4000", "--sizes", "1"],
    "preprocess_aliexpress": ["--rows", "2000", "--compared", "1000", "--sizes", "1"],
    "preprocess_expedia": ["--rows", "8000", "--compared", "4000", "--sizes", "1"],
    "preprocess_rees46": ["--rows", "6000", "--compared", "3000", "--sizes", "1"],
}


@pytest.fixture
def measured_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is measured run in this process, not in one for each size of its data."""

    def run_here(command: list[str], **_: Any) -> SimpleNamespace:
        assert command[0] == sys.executable
        with redirect_stdout(io.StringIO()) as printed, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", command[1:])
            runpy.run_path(command[1], run_name="__main__")
        return SimpleNamespace(stdout=printed.getvalue())

    monkeypatch.setattr(subprocess, "run", run_here)


def printed(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Return what a script prints that is called with its arguments for little work."""
    monkeypatch.syspath_prepend(SPEED)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [f"speed/{script}.py", *SMALL[script]])
    threads, status = torch.get_num_threads(), None
    try:
        runpy.run_path(str(SPEED / f"{script}.py"), run_name="__main__")
    except SystemExit as end:
        status = end.code
    finally:
        torch.set_num_threads(threads)
    assert not status
    return capsys.readouterr().out


def test_every_script_is_tried() -> None:
    scripts = {path.stem for path in SPEED.glob("*.py")}
    assert scripts - {"measured"} == set(SMALL)


@pytest.mark.usefixtures("measured_here")
@pytest.mark.parametrize("script", SMALL)
def test_it_runs_and_prints(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = "usage: " if "--help" in SMALL[script] else r"\d [|\w]"
    assert re.search(shown, printed(script, monkeypatch, capsys))


def test_preprocessing_is_measured_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SPEED)
    measured, layout = import_module("measured"), import_module("preprocess_aliexpress")
    raw, processed = tmp_path / "raw", tmp_path / "processed"
    raw.mkdir()
    layout.write(raw, 2000)
    cost = measured.preprocessed("aliexpress", raw, processed)
    assert (processed / "train.parquet").is_file()
    assert cost.text == sum(path.stat().st_size for path in raw.iterdir())
    assert cost.peak > 0 < cost.processor


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit, match=r"^error: there is no GPU here; [^\n]+$"):
        runpy.run_path(str(SPEED / "gpu.py"), run_name="__main__")
