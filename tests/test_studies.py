"""Studies: params of their own on top of the benchmark's, settings, runs that resume, the DAG."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from helpers.pipelines import planned, repository, whole_params
from helpers.projects import copy_project, one_core, train_here, without_pictures

from benchmark import registry
from benchmark.cli import main
from benchmark.files import read_json
from benchmark.registry import ROOT
from benchmark.studies import Workspace

STUDY = "sensitivity"
CHOSEN = ["esmm", "fnw"]  # the second needs delays
PARTS = ("benchmark", "datasets", "methods", "studies", "dvc.yaml", "params.yaml", ".dvcignore")
SMALL = {
    "methods": CHOSEN,
    "options": {"oracle_funnel": {"rows": 2000}},
    "sensitivity": {"factors": {"overlap": [0.5], "delay": [0.5]}, "baselines": CHOSEN[:1]},
    "replicates": 2,
    "protocol": {"max_epochs": 1, "device": "cpu"},
}


def write_params(folder: Path, **changes: object) -> None:
    content = yaml.safe_load((ROOT / "studies" / STUDY / "params.yaml").read_text(encoding="utf-8"))
    for key, value in (SMALL | changes).items():
        both = isinstance(value, dict) and isinstance(content.get(key), dict)
        content[key] = content[key] | value if both else value
    (folder / "studies" / STUDY / "params.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose study is small, with its settings, runs and report."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder, PARTS, "*.lock")
    (folder / "data" / "manual").mkdir(parents=True)
    write_params(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_here(patch)
        one_core(patch)
        without_pictures(patch)
        for verb in ("data", "run", "report"):
            assert main([verb, "--study", STUDY]) == 0
    return folder


@pytest.fixture
def workspace(project: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(project)
    train_here(monkeypatch)
    one_core(monkeypatch)
    return Workspace(STUDY)


def test_settings_of_a_sensitivity_study_share_no_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They count as independent blocks; a level more leaves the draws of the others as they are."""
    copy_project(tmp_path, ("studies", "params.yaml"))
    monkeypatch.chdir(tmp_path)

    def seeds() -> dict[str, set[int]]:
        settings = Workspace(STUDY).settings()
        return {one.name: {options["seed"] for _, options in one.draws(50, 5)} for one in settings}

    found = seeds()
    assert len(found) > 15
    assert len(set.union(*found.values())) == 55 * len(found)
    assert min(found["base"]) == Workspace(STUDY).settings()[0].options["seed"]
    assert max(map(max, found.values())) < 2**31
    write_params(tmp_path, sensitivity={"factors": {"overlap": [0.4, 0.5]}})
    assert seeds() == {name: found.get(name, own) for name, own in seeds().items()}


def test_a_study_has_the_params_of_the_benchmark_but_for_what_it_changes(
    workspace: Workspace,
) -> None:
    whole, own = Workspace().params, workspace.params
    assert own.protocol.max_epochs == 1
    assert own.protocol.tuning.trials == 0
    assert own.protocol.backbone == whole.protocol.backbone
    assert own.protocol.tuning.batch == whole.protocol.tuning.batch
    assert whole.sensitivity is None


def test_a_study_writes_beside_the_benchmark_not_into_it(workspace: Workspace) -> None:
    assert Workspace().runs == Path("results/runs")
    assert workspace.runs == Path("results/studies", STUDY, "runs")
    assert not Path("data/processed").exists()
    assert not Path("results/runs").exists()


def test_settings_differ_in_the_option_of_their_name_and_in_draws(workspace: Workspace) -> None:
    options = {
        w.name: read_json(w / "0" / "schema.json")["options"] for w in workspace.processed.iterdir()
    }
    assert sorted(options) == ["base", "delay-0.5", "overlap-0.5"]
    assert len({own.pop("seed") for own in options.values()}) == 3
    assert options["overlap-0.5"] == options["base"] | {"overlap": 0.5}
    assert options["delay-0.5"] == options["base"] | {"delay": 0.5}


def test_a_method_runs_in_every_setting_that_offers_what_it_needs(workspace: Workspace) -> None:
    always, late = CHOSEN
    for setting in workspace.section("sensitivity").settings():
        folder = workspace.runs / setting / always
        fits = [read_json(path) for path in sorted((folder / "default").glob("*.json"))]
        assert [fit["seed"] for fit in fits] == [0, 1]
        assert all("cvr_auc_oracle" in fit["test"] for fit in fits)
        assert not (folder / "trials").exists()
        assert read_json(folder / "task.json")["dataset"] == setting
    assert "needs delay" in read_json(workspace.runs / "base" / late / "skipped.json")["reason"]
    assert len(list((workspace.runs / "delay-0.5" / late / "default").glob("*.json"))) == 2


def test_a_study_goes_on_where_it_was_killed(workspace: Workspace) -> None:
    folder = workspace.runs / "base" / CHOSEN[0] / "default"
    kept, lost = folder / "0.json", folder / "1.json"
    before, old = kept.stat().st_mtime_ns, read_json(lost)
    lost.unlink()
    assert main(["run", "base", CHOSEN[0], "--study", STUDY]) == 0
    assert kept.stat().st_mtime_ns == before
    assert read_json(lost)["test"] == old["test"]


def test_the_report_has_both_methods(workspace: Workspace) -> None:
    text = (workspace.results / "which_method_when.md").read_text(encoding="utf-8")
    assert "| overlap" in text
    assert "FNW, in 2 of 3 settings: needs delay" in text


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (
            {"overlap": [1.0]},
            "factors.overlap holds 1.0, the level of the base setting; leave it out",
        ),
        ({"weather": [1]}, "factors.weather is no option of oracle_funnel: known: rows, "),
        (
            {"hidden": [1]},
            "factors.hidden is no option of oracle_funnel: an old name; write `unobs",
        ),
        (
            {"overlap": [0.5, -1]},
            "sensitivity.factors.overlap[1] is -1; it must be a number of at least 0.2",
        ),
    ],
)
def test_a_wrong_factor_is_one_sentence(
    workspace: Workspace,
    factors: dict[str, list[float]],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_params(Path(), sensitivity={"factors": factors})
    assert main(["data", "--study", STUDY]) == 1
    write_params(Path())
    assert "error: " in (error := capsys.readouterr().err)
    assert message in error
    assert len(list(workspace.processed.iterdir())) == 3


def test_a_study_that_does_not_exist_is_one_sentence(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "--study", "strss"]) == 1
    error = capsys.readouterr().err
    assert "no study 'strss' in studies/; known: " in error
    assert STUDY in error
    with pytest.raises(LookupError, match=r"params\.yaml has no section `sensitivity`"):
        Workspace().section("sensitivity")
    assert workspace.study == STUDY


TARGET = f"studies/dvc.yaml:report@{STUDY}"
STAGES = {f"{stage}@{STUDY}" for stage in ("data", "run", "report")}


@pytest.fixture(scope="module")
def committed(project: Path) -> Path:
    """The project after ``dvc repro`` of the study, with its stages on record."""
    Repo.init(str(project), no_scm=True).close()
    assert planned(project, TARGET) == STAGES
    with repository(project) as repo:
        for stage in sorted(STAGES):
            repo.commit(f"studies/dvc.yaml:{stage}", force=True)
    return project


def test_all_stages_depend_on_all_of_both_params(committed: Path) -> None:
    own = ("params.yaml", "studies/${item}/params.yaml")
    assert set(whole_params(ROOT / "studies" / "dvc.yaml")) == {own, own[:1]}  # and the folder
    assert planned(committed, TARGET) == set()
    for name in ("params.yaml", f"studies/{STUDY}/params.yaml"):
        path = committed / name
        original = path.read_text(encoding="utf-8")
        content = yaml.safe_load(original)
        content["protocol"].popitem()
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        assert planned(committed, TARGET) == STAGES, name
        path.write_text(original, encoding="utf-8")


def test_an_edit_of_a_method_plans_what_trains_and_what_reports(committed: Path) -> None:
    path = committed / "methods" / f"{CHOSEN[0]}.py"
    original = path.read_text(encoding="utf-8")
    path.write_text(original + "\n# edited\n", encoding="utf-8")
    found = planned(committed, TARGET)
    path.write_text(original, encoding="utf-8")
    assert found == STAGES - {f"data@{STUDY}"}


def test_every_study_is_in_the_pipeline() -> None:
    content = yaml.safe_load((ROOT / "studies" / "dvc.yaml").read_text(encoding="utf-8"))
    (variables,) = content["vars"]
    found = sorted(path.parent.name for path in (ROOT / "studies").glob("*/params.yaml"))
    assert sorted([*variables["studies"], "smoke"]) == found  # only to try methods


def test_the_study_runs_every_method_and_says_what_its_factors_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    params = Workspace(STUDY).params
    assert list(params.methods) == registry.names("methods")
    assert params.sensitivity is not None
    assert set(params.sensitivity.meanings) == set(params.sensitivity.factors)
