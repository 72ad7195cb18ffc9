"""Studies: params of their own on top of the benchmark's, worlds, sweeps that resume, the DAG."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.projects import copy_project, train_here

from benchmark import registry
from benchmark.cli import main
from benchmark.files import read_json
from benchmark.registry import ROOT
from benchmark.studies import Workspace

STUDY = "stress"
METHODS = registry.names("methods")
CHOSEN = ["esmm", "fnw"]  # the second needs delays
PARTS = ("benchmark", "datasets", "methods", "studies", "dvc.yaml", "params.yaml", ".dvcignore")
SMALL = {
    "methods": CHOSEN,
    "options": {"oracle_funnel": {"rows": 2000}},
    "sweep": {"knobs": {"overlap": [0.5], "delay": [0.5]}, "baselines": CHOSEN[:1]},
    "protocol": {"max_epochs": 1, "seeds": [0, 1], "device": "cpu"},
}


def write_params(folder: Path, **changes: object) -> None:
    content = yaml.safe_load((ROOT / "studies" / STUDY / "params.yaml").read_text(encoding="utf-8"))
    for key, value in (SMALL | changes).items():
        both = isinstance(value, dict) and isinstance(content.get(key), dict)
        content[key] = content[key] | value if both else value
    (folder / "studies" / STUDY / "params.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose study is small, with its worlds, runs and report."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder, PARTS, "*.lock")
    (folder / "data" / "manual").mkdir(parents=True)
    write_params(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_here(patch)
        verbs = [["worlds"], *(["sweep", method] for method in CHOSEN), ["sweep-report"]]
        for verb in verbs:
            assert main([*verb, "--study", STUDY]) == 0
    return folder


@pytest.fixture
def place(project: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(project)
    train_here(monkeypatch)
    return Workspace(STUDY)


def test_a_study_has_the_params_of_the_benchmark_but_for_what_it_changes(place: Workspace) -> None:
    whole, own = Workspace().params, place.params
    assert own.protocol.max_epochs == 1
    assert own.protocol.tuning.trials == 0
    assert own.protocol.backbone == whole.protocol.backbone
    assert own.protocol.tuning.batch == whole.protocol.tuning.batch
    assert whole.sweep is None


def test_a_study_writes_beside_the_benchmark_not_into_it(place: Workspace) -> None:
    assert Workspace().runs == Path("results/runs")
    assert place.runs == Path("results/studies", STUDY, "runs")
    assert not Path("data/processed").exists()
    assert not Path("results/runs").exists()


def test_worlds_differ_in_the_option_of_their_name_alone(place: Workspace) -> None:
    options = {w.name: read_json(w / "schema.json")["options"] for w in place.processed.iterdir()}
    assert sorted(options) == ["base", "delay-0.5", "overlap-0.5"]
    assert options["overlap-0.5"] == options["base"] | {"overlap": 0.5}
    assert options["delay-0.5"] == options["base"] | {"delay": 0.5}


def test_a_method_runs_in_every_world_that_offers_what_it_needs(place: Workspace) -> None:
    always, late = (place.runs / method for method in CHOSEN)
    for world in place.sweep.worlds():
        seeds = [read_json(path) for path in sorted((always / world / "seeds").iterdir())]
        assert [seed["seed"] for seed in seeds] == [0, 1]
        assert all("cvr_auc_oracle" in seed["test"] for seed in seeds)
        assert not (always / world / "trials").exists()
        assert read_json(always / world / "task.json")["dataset"] == world
    assert "needs delay" in read_json(late / "base" / "skipped.json")["reason"]
    assert len(list((late / "delay-0.5" / "seeds").iterdir())) == 2


def test_a_sweep_goes_on_where_it_was_killed(place: Workspace) -> None:
    kept, lost = (place.runs / CHOSEN[0] / "base" / "seeds" / f"{seed}.json" for seed in (0, 1))
    before, old = kept.stat().st_mtime_ns, read_json(lost)
    lost.unlink()
    assert main(["sweep", CHOSEN[0], "--study", STUDY]) == 0
    assert kept.stat().st_mtime_ns == before
    assert read_json(lost)["test"] == old["test"]


def test_the_report_has_both_methods(place: Workspace) -> None:
    text = (place.results / "which_method_when.md").read_text(encoding="utf-8")
    assert "| overlap" in text
    assert "FNW, in 2 of 3 worlds: needs delay" in text
    pictures = {str(path.relative_to(place.results)) for path in place.results.rglob("*.svg")}
    assert {"plots/delay/levels.svg", "plots/ranks_cvr_auc_oracle.svg"} <= pictures


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"overlap": [1.0]}, "level 1.0 of overlap is that of the base world"),
        ({"weather": [1]}, "knob 'weather' is no option of oracle_funnel: known: rows, "),
        ({"hidden": [1]}, "'hidden' is no option of oracle_funnel: an old name; write `unobserved"),
        ({"overlap": [-1]}, "overlap is -1; it must be a number of at least 0.2"),
    ],
)
def test_a_wrong_knob_is_one_sentence(
    place: Workspace,
    knobs: dict[str, list[float]],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_params(Path(), sweep={"knobs": knobs})
    assert main(["worlds", "--study", STUDY]) == 1
    write_params(Path())
    assert message in capsys.readouterr().err
    assert len(list(place.processed.iterdir())) == 3


def test_a_study_that_does_not_exist_is_one_sentence(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["worlds", "--study", "strss"]) == 1
    error = capsys.readouterr().err
    assert "no study 'strss' in studies/; known: " in error
    assert STUDY in error
    assert main(["worlds"]) == 1
    assert "params.yaml has no section `sweep`" in capsys.readouterr().err
    assert place.study == STUDY


def planned(folder: Path) -> set[str]:
    """The stages that ``dvc repro`` would run for the study."""
    lines = dvc(folder, "repro", "--dry", f"studies/{STUDY}/dvc.yaml").splitlines()
    running = [line for line in lines if line.startswith("Running stage")]
    return {line.split("'")[1].rpartition(":")[2] for line in running}


def dvc(folder: Path, *arguments: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["dvc", *arguments],
        cwd=folder,
        env=os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_pipeline_has_a_stage_per_method_and_reruns_what_changed(project: Path) -> None:
    dvc(project, "init", "--no-scm", "--quiet")
    everything = {"worlds", *(f"sweep@{method}" for method in CHOSEN), "report"}
    assert planned(project) == everything
    dvc(project, "commit", "--force", "--quiet", f"studies/{STUDY}/dvc.yaml")
    assert planned(project) == set()
    path = project / "methods" / f"{CHOSEN[0]}.py"
    original = path.read_text(encoding="utf-8")
    path.write_text(original + "\n# edited\n", encoding="utf-8")
    assert planned(project) == {f"sweep@{CHOSEN[0]}"}
    path.write_text(original, encoding="utf-8")


def test_the_study_sweeps_every_method_in_worlds_that_exist() -> None:
    content = yaml.safe_load((ROOT / "studies" / STUDY / "params.yaml").read_text(encoding="utf-8"))
    assert sorted(content["methods"]) == METHODS
    assert set(content["sweep"]["meanings"]) == set(content["sweep"]["knobs"])
