"""Measure what doing nothing costs: help, a run that is done, and a pipeline that is.

The run has all methods on record. The pipeline is the project's own dvc.yaml in a copy of the
project, whose commands are replaced by trivial ones. The median of five runs is printed.
Run: python speed/startup.py
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("benchmark", "methods", "datasets", ".dvc/config", "dvc.yaml", "params.yaml")
RUNS = 5
PYTHON = (sys.executable, "-m")


def copied(folder: Path, **changes: Any) -> None:
    """Copy the project with other params."""
    for part in PARTS:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pyc*"))
        else:
            shutil.copy(ROOT / part, folder / part)
    (folder / "data/manual").mkdir(parents=True)
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    params["protocol"] |= changes.pop("protocol", {})
    (folder / "params.yaml").write_text(yaml.safe_dump(params | changes), encoding="utf-8")


def stages_of(folder: Path) -> int:
    """Make every stage's command trivial and return how many stages there are."""
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))
    for entry in pipeline["stages"].values():
        stage = entry.get("do", entry)
        made = (*stage["outs"], *stage.get("metrics", ()))
        names = [name for output in made for name in output]
        files = [name for name in names if Path(name).suffix]
        folders = [name for name in names if name not in files]
        commands = [f"mkdir -p {' '.join(folders)}"] if folders else []
        stage["cmd"] = " && ".join(commands + ([f"touch {' '.join(files)}"] if files else []))
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline), encoding="utf-8")
    listed = done(folder, "dvc", "stage", "list", "--name-only")
    return len(listed.splitlines())


def done(folder: Path, *command: str) -> str:
    """Run a module in a folder and return what it printed."""
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    answer = subprocess.run(
        [*PYTHON, *command], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return answer.stdout


def median(folder: Path, *command: str) -> float:
    """Return the seconds that a command takes."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        done(folder, *command)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def stage(folder: Path) -> float:
    """Return the seconds of a run of all methods whose results are on record."""
    small = {"tuning": {"trials": 0, "batch": 1, "seed": 0}, "max_epochs": 1}
    options = {"oracle_funnel": {"rows": 4000}}
    copied(folder, options=options, protocol=small, methods="all", replicates=1)
    command: Sequence[str] = ("benchmark", "run")
    done(folder, "benchmark", "data")
    done(folder, *command)
    return median(folder, *command)


def pipeline(folder: Path) -> tuple[int, float]:
    """Return how many stages a pipeline has, and the seconds of `dvc repro` when all is done."""
    copied(folder)
    done(folder, "dvc", "init", "--no-scm", "--force")
    count = stages_of(folder)
    done(folder, "dvc", "repro", "--quiet")
    return count, median(folder, "dvc", "repro")


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print("| nothing to do | s |\n|---|--:|")
    print(f"| `python -m benchmark --help` | {median(ROOT, 'benchmark', '--help'):.2f} |")
    with tempfile.TemporaryDirectory() as folder:
        print(f"| `run` of all methods, on record | {stage(Path(folder)):.2f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        count, seconds = pipeline(Path(folder))
        print(f"| `dvc repro` of {count} stages | {seconds:.2f} |")


if __name__ == "__main__":
    main()
