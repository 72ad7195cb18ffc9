"""An archive of the source, as from GitHub or Zenodo, which has no Git: both commands begin."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from benchmark import registry
from benchmark.execution.provenance import commit
from benchmark.registry import ROOT

FEW = " --set 'methods=[naive]'"
OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # `make test` runs these tests, and is run by them


def shell(folder: Path, command: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    inherited = {key: value for key, value in os.environ.items() if key not in OF_MAKE}
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=inherited | {"PATH": path, "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source without Git, with the mark of an environment that is set up."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is such an archive already")
    git = ["git", "-C", str(ROOT), "archive", "HEAD"]
    packed = subprocess.run(git, capture_output=True, check=True).stdout
    folder = tmp_path_factory.mktemp("archive")
    with tarfile.open(fileobj=io.BytesIO(packed)) as content:
        content.extractall(folder, filter="data")
    for mark in (".ready", ".docs"):
        (folder / ".venv").mkdir(exist_ok=True)
        (folder / ".venv" / mark).touch()
    return folder


def test_make_repro_begins_without_git(archive: Path) -> None:
    check, *scm, repro, show = shell(archive, "make --dry-run repro").splitlines()
    assert (check, repro) == ("python -m benchmark check", "dvc repro")
    assert show.endswith("show")
    assert "oracle_funnel: will be simulated" in shell(archive, check + FEW)
    for command in scm:
        shell(archive, command)
    assert "Running stage 'data'" in shell(archive, f"{repro} --dry data")


def test_make_test_begins_without_git(archive: Path) -> None:
    *_, pytest_ = shell(archive, "make --dry-run test").splitlines()
    found = shell(archive, f"{pytest_} -n 0 --collect-only tests/test_repo.py")
    assert "test_help_is_quick" in found


def test_provenance_names_the_commit_of_the_archive_or_else_the_release(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "ROOT", archive)
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    assert commit.__wrapped__() == head.stdout.strip()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    (archive / ".git_archival.txt").write_text("$Format:%H$\n", encoding="utf-8")
    assert commit.__wrapped__() == f"release {version}"
