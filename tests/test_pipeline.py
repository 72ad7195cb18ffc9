"""The real ``dvc.yaml`` on a tiny world, in a copy of the project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.projects import copy_project

from benchmark.registry import ROOT

PARTS = ("benchmark", "datasets", "methods", "dvc.yaml", "params.yaml", ".dvcignore")
METHODS = ["esmm", "hm3"]


def call(folder: Path, *command: str) -> str:
    """Run a command of the project's environment in a folder and return what it printed."""
    binaries = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
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
    params["protocol"] |= {"max_epochs": 1, "seeds": [0, 1], "device": "cpu"}
    params["protocol"]["tuning"] |= {"trials": 2, "batch": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    call(folder, "dvc", "init", "--no-scm", "--quiet")
    call(folder, "dvc", "config", "core.analytics", "false")
    call(folder, "dvc", "repro")
    return folder


def planned(folder: Path) -> set[str]:
    """The stages that ``dvc repro`` would run."""
    lines = call(folder, "dvc", "repro", "--dry").splitlines()
    running = [line for line in lines if line.startswith("Running stage")]
    return {line.split("'")[1] for line in running}


def test_one_command_leads_from_nothing_to_a_leaderboard(project: Path) -> None:
    table = (project / "results" / "leaderboard.md").read_text(encoding="utf-8")
    assert "HM3" in table
    assert "ESMM" in table
    assert "±" in table
    assert (project / "results" / "index.html").stat().st_size > 10_000
    assert list((project / "results" / "plots").rglob("*.svg"))
    assert "@inproceedings" in (project / "results" / "references.bib").read_text(encoding="utf-8")
    assert planned(project) == set()


RUNS = {f"run@oracle_funnel-{method}" for method in METHODS}


@pytest.mark.parametrize(
    ("edited", "rerun"),
    [
        ("methods/hm3.py", {"run@oracle_funnel-hm3"}),
        ("benchmark/reporting/leaderboard.py", {"leaderboard", "plots"}),
        ("datasets/oracle_funnel.py", {"download@oracle_funnel", "preprocess@oracle_funnel"}),
        ("benchmark/training/losses.py", RUNS),
    ],
)
def test_an_edit_reruns_what_depends_on_it(project: Path, edited: str, rerun: set[str]) -> None:
    """What lies further down runs only if the outputs of these stages change."""
    path = project / edited
    original = path.read_text(encoding="utf-8")
    path.write_text(original + "\n# edited\n", encoding="utf-8")
    stages = planned(project)
    path.write_text(original, encoding="utf-8")
    assert stages == rerun


def test_a_new_method_runs_only_its_own_stages(project: Path) -> None:
    source = (project / "methods" / "esmm.py").read_text(encoding="utf-8")
    (project / "methods" / "fresh.py").write_text(source, encoding="utf-8")
    params = project / "params.yaml"
    original = params.read_text(encoding="utf-8")
    params.write_text(original.replace("- esmm", "- esmm\n- fresh"), encoding="utf-8")
    stages = planned(project)
    params.write_text(original, encoding="utf-8")
    assert stages == {"run@oracle_funnel-fresh", "leaderboard", "plots"}
