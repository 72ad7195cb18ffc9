"""The scripts of ``speed/`` run: small, so that their numbers mean nothing."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from benchmark.registry import ROOT

SMALL = {
    "gpu": ["--device", "cpu", "--small", "--only", "throughput"],
    "vectorized": ["--methods", "esmm", "--models", "2", "--batches", "4096"],
    "epochs": ["--rows", "20000", "--sizes", "1", "--batch", "1024"],
    "training": ["--rows", "4096", "--only", "ours"],
    "startup": ["--help"],
    "leaderboard": ["--help"],
    "auc": ["--rows", "1000"],
    "plan": ["--help"],
    "preprocess_aliccp": ["--rows", "8000", "--compared", "4000"],
    "preprocess_aliexpress": ["--rows", "8000", "--compared", "4000"],
    "preprocess_expedia": ["--rows", "8000", "--compared", "4000"],
    "preprocess_rees46": ["--rows", "80000", "--compared", "40000"],
}


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"speed/{script}.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_script_is_tried() -> None:
    scripts = {path.stem for path in (ROOT / "speed").glob("*.py")}
    assert scripts - {"measured"} == set(SMALL)


@pytest.mark.parametrize("script", SMALL)
def test_it_runs_and_prints(script: str) -> None:
    done = run(script, *SMALL[script])
    assert done.returncode == 0, done.stderr
    shown = "usage: " if "--help" in SMALL[script] else r"\d [|\w]"
    assert re.search(shown, done.stdout)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_one_sentence() -> None:
    done = run("gpu")
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no GPU here; ")
    assert done.stderr.count("\n") == 1
