"""Copies of the project to change and run things in, and training without worker processes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmark.registry import ROOT

if TYPE_CHECKING:  # the process that hands out tests imports this, and the others wait for it
    from matplotlib.figure import Figure

    from benchmark.config import Launch, Protocol
    from benchmark.reporting.table import Table


def copy_project(folder: Path, parts: Iterable[str], *left_out: str) -> None:
    """Copy files and folders of the project, but what matches a pattern.

    What is compiled goes with them, so that processes there compile nothing anew; not a file of it
    that another process is about to rename.
    """
    for part in parts:
        source, target = ROOT / part, folder / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.pyc.*", *left_out))
        else:
            shutil.copy(source, target)


def name_in_params(folder: Path, key: str, *names: str) -> None:
    """Add names to a list of ``params.yaml``, as one does by hand."""
    path, lines = folder / "params.yaml", "".join(f"  - {name}\n" for name in names)
    text = path.read_text(encoding="utf-8")
    text, count = re.subn(rf"^{key}:.*\n", rf"\g<0>{lines}", text, flags=re.MULTILINE)
    assert count == 1, f"params.yaml has the key {key} {count} times"
    path.write_text(text, encoding="utf-8")


STEPS = """
import sys, pytest
from benchmark.cli import main
for step in {steps}:
    if main(step): sys.exit(1)
sys.exit(pytest.main({tests}))
"""


def add_and_test(
    folder: Path, steps: Sequence[Sequence[str]], files: Iterable[str], *words: str
) -> str:
    """Call subcommands in a copy of the project, then its tests that have a word in their names.

    They take one process, which imports once what all of them need. A name may also be a file's.
    What the subcommands printed is returned.
    """
    paths = [f"tests/{file}.py" for file in files]
    quiet = ("-p", "no:cacheprovider", "-p", "no:xdist")
    code = STEPS.format(steps=[*map(list, steps)], tests=[*paths, "-k", " or ".join(words), *quiet])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout), done.stdout
    assert not re.search(r"\d+ (failed|skipped)", done.stdout), done.stdout
    return done.stdout


def train_here(patch: pytest.MonkeyPatch, module: str = "benchmark.execution.run") -> None:
    """Train in this process, where starting workers would cost more than it saves."""

    @contextmanager
    def no_executor(_: Launch, __: Protocol) -> Iterator[None]:
        yield None

    patch.setattr(f"{module}.connect", no_executor)


def write_small_params(folder: Path, methods: Sequence[str], **changes: Any) -> None:
    """Write params of a simulated dataset with a small budget; ``protocol`` changes in parts."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content |= {"methods": list(methods), "replicates": 2}
    content["options"] = {"oracle_funnel": {"rows": 2000}}
    content["leaderboard"] |= {"reference": None, "own_references": {}}  # nor a widened one
    content["protocol"] |= {"max_epochs": 1, "batch_size": 512, "device": "cpu"}
    content["protocol"] |= {"tuning": {"trials": 0, "batch": 2, "seed": 3}}
    content["protocol"] |= changes.pop("protocol", {})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(content | changes), encoding="utf-8")


def without_pictures(patch: pytest.MonkeyPatch) -> None:
    """Let reports draw none, which would take most of their time."""

    def draw(tables: Iterable[Table], _: Path) -> dict[str, list[Path]]:
        return {table.results.dataset: [] for table in tables}

    patch.setattr("benchmark.reporting.plots.draw", draw)
    for module in ("ranking", "studies.sensitivity.plots"):
        patch.setattr(f"benchmark.reporting.{module}.save", lambda *_: [])


def pictures_of(patch: pytest.MonkeyPatch, dataset: str | None, *names: str) -> None:
    """Let reports draw the pictures of one dataset alone, or of the overall ranking if it is None.

    Each takes a second. With ``names`` only these are drawn.
    """
    from benchmark.reporting import plots  # noqa: PLC0415 (imports Matplotlib)

    every = plots._figures

    def chosen(table: Table) -> Iterator[tuple[str, Figure]]:
        if table.results.dataset == dataset:
            yield from (pair for pair in every(table) if not names or pair[0] in names)

    patch.setattr(plots, "_figures", chosen)
    if dataset is not None:
        patch.setattr("benchmark.reporting.ranking.save", lambda *_: [])


def one_core(patch: pytest.MonkeyPatch) -> None:
    """Let no processes be started to share work: each imports for seconds what is here already."""
    patch.setattr("benchmark.execution.executors.local.cores", lambda: 1)


def work_here(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Work in a folder, in this process alone; reports have no pictures."""
    patch.chdir(folder)
    train_here(patch)
    without_pictures(patch)
    one_core(patch)


def python(folder: Path, *arguments: str) -> str:
    """Run this Python in a folder and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
