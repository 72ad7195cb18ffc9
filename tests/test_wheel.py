"""A wheel holds the engine, all methods and all datasets, and finds them where it is installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers.projects import copy_project

from benchmark import registry
from benchmark.execution.code import code_of
from benchmark.release import release
from benchmark.training.method import Method

PARTS = ("benchmark", "datasets", "methods", "params.yaml", "pyproject.toml", "README.md")
KNOWN = registry.names("methods")[-1]
ASK = f"""
from benchmark import registry
from benchmark.execution.code import code_of
from benchmark.release import release
from benchmark.training.method import Method
print(*registry.names("methods"))
print(*registry.names("datasets"))
print(code_of("{KNOWN}"), *release(registry.ROOT), registry.load("methods", "{KNOWN}", Method).name)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what a wheel of the project does."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "project").mkdir()
    copy_project(folder / "project", PARTS)
    build = ("wheel", "./project", "--no-deps", "--no-build-isolation", "--quiet", "-w", ".")
    subprocess.run([sys.executable, "-m", "pip", *build], cwd=folder, check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_it_holds_every_file_of_the_engine_and_of_the_plugins(installed: Path) -> None:
    for source, target in (("benchmark", ""), ("methods", "benchmark"), ("datasets", "benchmark")):
        files = [path for path in (registry.ROOT / source).rglob("*") if path.is_file()]
        names = {path.relative_to(registry.ROOT) for path in files if path.suffix != ".pyc"}
        assert not {name for name in names if not (installed / target / name).is_file()}
    assert not (installed / "datasets").exists()  # another package is imported by this name


def test_what_is_installed_finds_its_plugins_under_the_same_keys(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(installed)!r}){ASK}"],
        cwd=installed.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    methods, datasets, last = done.stdout.splitlines()
    assert methods.split() == registry.names("methods")
    assert datasets.split() == registry.names("datasets")
    title = registry.load("methods", KNOWN, Method).name
    assert last == " ".join([code_of(KNOWN), *(release(registry.ROOT) or ()), title])
