"""The real ``dvc.yaml`` with a tiny budget, in a copy of the project."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from helpers.pipelines import planned, whole_params
from helpers.projects import copy_project

from benchmark.registry import ROOT

PARTS = ("benchmark", "datasets", "methods", "dvc.yaml", "params.yaml", ".dvcignore")
METHODS = ["esmm", "hm3"]


def call(folder: Path, *command: str) -> str:
    """Run a command of the project's environment in a folder and return what it printed."""
    binaries = Path(sys.executable).parent
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, reproduced once with a tiny budget."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder, PARTS)
    (folder / "data" / "manual").mkdir(parents=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["methods"] = METHODS
    params["options"]["oracle_funnel"]["rows"] = 4000
    params["options"]["oracle_funnel"]["test_rows"] = 0
    params["replicates"] = 2
    params["launch"] = {"workers": 1}  # each imports what it needs anew
    params["protocol"] |= {"max_epochs": 1, "device": "cpu"}
    params["protocol"]["tuning"] |= {"trials": 2, "batch": 2, "draws": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    Repo.init(str(folder), no_scm=True).close()
    call(folder, "dvc", "repro")
    return folder


def test_one_command_leads_from_nothing_to_a_leaderboard(project: Path) -> None:
    table = (project / "results" / "leaderboard.md").read_text(encoding="utf-8")
    assert "HM3" in table
    assert "ESMM" in table
    assert "±" in table
    assert (project / "results" / "index.html").stat().st_size > 10_000
    assert list((project / "results" / "plots").rglob("*.svg"))
    assert "@inproceedings" in (project / "results" / "references.bib").read_text(encoding="utf-8")
    assert planned(project) == set()


ALL = {"data", "run", "report"}


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    """Let a file have another content for as long as this lasts."""
    original = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    yield
    path.write_text(original, encoding="utf-8")


def commented(path: Path) -> AbstractContextManager[None]:
    return changed(path, path.read_text(encoding="utf-8") + "\n# edited\n")


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("methods/hm3.py", {"run", "report"}),
        ("datasets/oracle_funnel.py", {"data"}),
        ("benchmark/training/losses.py", ALL),
    ],
)
def test_an_edit_plans_the_stages_that_depend_on_it(
    project: Path, name: str, stages: set[str]
) -> None:
    """What lies further down runs only if the outputs of these stages change."""
    with commented(project / name):
        assert planned(project) == stages
    assert planned(project) == set()


def test_all_stages_depend_on_all_of_the_params(project: Path) -> None:
    path = project / "params.yaml"
    assert set(whole_params(project / "dvc.yaml")) == {("params.yaml",)}
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["protocol"]["tuning"].popitem()
    with changed(path, yaml.safe_dump(content)):
        assert planned(project) == ALL


def fits(folder: Path) -> dict[str, int]:
    """When each fit was put on record, by its path."""
    runs = folder / "results" / "runs"
    return {str(p.relative_to(runs)): p.stat().st_mtime_ns for p in runs.glob("*/*/*/*.json")}


def test_a_new_method_and_a_comment_in_another_one_train_the_new_one_alone(project: Path) -> None:
    before = fits(project)
    assert {path.split("/")[1] for path in before} == set(METHODS)
    source = (project / "methods" / "esmm.py").read_text(encoding="utf-8")
    (project / "methods" / "fresh.py").write_text(source, encoding="utf-8")
    params = project / "params.yaml"
    named = params.read_text(encoding="utf-8").replace("- esmm", "- esmm\n- fresh")
    with changed(params, named), commented(project / "methods" / "hm3.py"):
        assert planned(project) == ALL
        call(project, "dvc", "repro", "--single-item", "run")
        assert planned(project) == ALL - {"run"}
    after = fits(project)
    assert {path: after[path] for path in before} == before
    assert {path.split("/")[1] for path in after.keys() - before.keys()} == {"fresh"}
