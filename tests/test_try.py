"""A method is tried in a folder of its own: contract first, then its row beside two others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.plugins import methods_that_load
from helpers.projects import copy_project, name_in_params, without_pictures

from benchmark import tryout
from benchmark.cli import main
from benchmark.data.prepare import prepare
from benchmark.errors import ConfigError
from benchmark.registry import ROOT
from benchmark.schema import Schema

TINY = (
    "options.oracle_funnel.rows=2000",
    "options.oracle_funnel.test_rows=2000",
    "replicates=2",
    "protocol.max_epochs=1",
    "protocol.device=cpu",
)
PARTS = ("benchmark", "datasets", "methods", "studies", "tests", "params.yaml", "pyproject.toml")
ONE_FILE = """
import sys
from benchmark import cli, tryout
tryout.TESTS = ("test_method_files",)  # of which one suffices here
sys.exit(cli.main(["try", "wrong"]))
"""
WRONG = '''
"""A method whose loss has a value per row."""

from benchmark.method import Batch, CtrCvr, Tensor


class Wrong(CtrCvr):
    """Predict as the network does."""

    name = "Wrong"
    cite = "ma2018entire"

    def loss(self, batch: Batch) -> Tensor:
        return batch.click.float()
'''


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, sequential: None) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(tryout, "contract_faults", lambda _: [])
    without_pictures(monkeypatch)


@pytest.mark.usefixtures("here")
def test_a_row_stands_beside_those_of_the_small_study_and_nothing_is_left_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [f"--set={change}" for change in TINY]
    assert main(["try", "multi_ipw", "--keep", str(tmp_path), *changes]) == 0
    out = capsys.readouterr().out
    own = tryout.small(None, (), tmp_path).params.methods
    assert [name in out for name in ("Naive", "ESMM", "Multi-IPW")] == [True] * 3
    assert set(own) == {"naive", "esmm"}
    assert (tmp_path / "results/studies/smoke/index.html").is_file()
    assert not (ROOT / "results" / "studies" / "smoke").exists()
    assert not (ROOT / "data" / "studies" / "smoke").exists()


@pytest.mark.usefixtures("here")
def test_a_method_without_a_row_is_an_error_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [f"--set={change}" for change in (*TINY, "options.oracle_funnel.delay=0")]
    assert main(["try", "dfm", "--keep", str(tmp_path), *changes]) == 1  # needs a delay
    assert "error: DFM: " in capsys.readouterr().err


def test_the_small_setting_has_what_every_method_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    workspace = tryout.small(None, (*TINY, "replicates=1"), tmp_path)
    assert not prepare(workspace, 1)
    [setting] = workspace.settings()
    schema = Schema.read(setting.replicate(0))
    lacking = {name: kind.missing(schema) for name, kind in methods_that_load().items()}
    assert set(lacking.values()) == {None}, lacking


def test_a_project_is_no_folder_to_try_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["try", "--keep", "."]) == 1
    assert capsys.readouterr().err == (
        f"error: {ROOT} is a project; name another folder after --keep\n"
    )
    assert main(["try", "--keep", "results/mine"]) == 1
    assert capsys.readouterr().err == (
        f"error: {ROOT / 'results'} holds what is published; name another folder after --keep\n"
    )
    assert not (ROOT / "results/mine").exists()


def test_an_unknown_method_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["try", "escm2_isp"]) == 1
    assert capsys.readouterr().err == (
        "error: 'escm2_isp' is not in methods/; did you mean 'escm2_ips'?\n"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("escm2_ips.cvr_wait=2", "cvr_wait"),
        ("escm2_ips.cvr_weight=-5", "cvr_weight"),
    ],
)
def test_a_hyperparameter_that_there_is_not_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, says: str
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match=says):
        tryout.small("escm2_ips", (f"protocol.defaults.{change}",), tmp_path)


def test_a_broken_contract_is_told_in_sentences_and_nothing_is_fitted(
    tmp_path: Path,
) -> None:
    copy_project(tmp_path, PARTS)
    (tmp_path / "methods" / "wrong.py").write_text(WRONG.lstrip(), encoding="utf-8")
    name_in_params(tmp_path, "methods", "wrong")
    done = subprocess.run(
        (sys.executable, "-c", ONE_FILE),
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "error: wrong breaks its contract; mend what is listed and try it again\n"
    )
    assert "methods/wrong.py" in done.stdout
