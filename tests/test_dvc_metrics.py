"""DVC compares commits: which param changed, and what that did to metrics and plots."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from helpers.fake_runs import ORACLE, edit, write_project
from helpers.projects import copy_project, without_pictures

from benchmark.cli import main
from benchmark.config import Params
from benchmark.files import read_json, write_json
from benchmark.registry import ROOT

METRICS, PLOT = "results/metrics.json", "results/headline.csv"
STUDY = "results/studies/leaderboard/metrics.json"


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with a commit, after which the batch size changed and m0 became better."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    without_pictures(monkeypatch)
    write_project(tmp_path, 2, 3)
    Path("studies").mkdir()
    copy_project(tmp_path, ["dvc.yaml", "studies/dvc.yaml"])
    write_json(Path(STUDY), {ORACLE: {"m0": {"cvr_auc_oracle": 0.7}}})
    assert main(["report"]) == 0
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "init", "--quiet"], check=True)
    Repo.init().close()
    subprocess.run(
        ["git", "add", "dvc.yaml", "params.yaml", "studies", METRICS, PLOT, STUDY], check=True
    )
    subprocess.run(["git", *author, "commit", "--quiet", "--message=one"], check=True)
    content = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    content["protocol"]["batch_size"] = 512
    Path("params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    for path in Path("results/runs").glob("*/*/task.json"):
        edit(path, protocol=Params.model_validate(content).protocol.identity)
    for path in Path("results/runs", ORACLE, "m0", "default").glob("*.json"):
        test = read_json(path)["test"]
        edit(path, test=test | {"cvr_auc_oracle": test["cvr_auc_oracle"] + 0.01})
    assert main(["report"]) == 0
    write_json(Path(STUDY), {ORACLE: {"m0": {"cvr_auc_oracle": 0.6}}})
    return tmp_path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what DVC imports
@pytest.mark.usefixtures("changed")
def test_a_changed_param_shows_up_with_what_it_did() -> None:
    with Repo() as repo:
        params, metrics = repo.params.diff()["diff"], repo.metrics.diff()["diff"]
        plots = repo.plots.show(revs=["HEAD", "workspace"])
    size = {"old": 1024, "new": 512, "diff": -512}
    assert params == {"params.yaml": {"protocol.batch_size": size}}
    assert {name: list(found) for name, found in metrics.items()} == {
        METRICS: [f"{ORACLE}.m0.cvr_auc_oracle"],
        STUDY: [f"{ORACLE}.m0.cvr_auc_oracle"],
    }
    assert metrics[STUDY][f"{ORACLE}.m0.cvr_auc_oracle"]["diff"] == pytest.approx(-0.1)
    change = metrics[METRICS][f"{ORACLE}.m0.cvr_auc_oracle"]["diff"]
    assert change == pytest.approx(0.01)
    before, after = (
        {(row["setting"], row["method"]): float(row["value"]) for row in found["data"]}
        for revision in ("HEAD", "workspace")
        for found in [plots[revision]["sources"]["data"][PLOT]]
    )
    assert after == before | {(ORACLE, "m0"): pytest.approx(before[ORACLE, "m0"] + 0.01)}


def test_every_study_with_a_leaderboard_has_its_metrics_and_plots_registered() -> None:
    content = yaml.safe_load((ROOT / "studies/dvc.yaml").read_text(encoding="utf-8"))
    (variables,) = content["vars"]
    boards = []
    for study in variables["studies"]:
        params = yaml.safe_load((ROOT / "studies" / study / "params.yaml").read_text("utf-8"))
        if not params.keys() & {"selection", "sensitivity"}:
            boards.append(f"../results/studies/{study}")
    assert content["metrics"] == [f"{board}/metrics.json" for board in boards]
    assert [*map(list, content["plots"])] == [[f"{board}/headline.csv"] for board in boards]
