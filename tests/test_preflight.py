"""``python -m benchmark check``: what a run would need, and all mistakes, before it starts."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.projects import work_here, write_small_params

from benchmark import registry
from benchmark.cli import main
from benchmark.configuration.names import broken
from benchmark.preflight.footprint import bytes_of_fit, shape
from benchmark.registry import ROOT
from benchmark.sealing import write_sealed
from benchmark.studies import Workspace


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two methods, nothing of which is prepared or run."""
    write_small_params(tmp_path, ("naive", "esmm"))
    work_here(tmp_path, monkeypatch)
    return tmp_path


def checked(capsys: pytest.CaptureFixture[str], *settings: str) -> tuple[int, str]:
    code = main(["check", *(word for setting in settings for word in ("--set", setting))])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_it_says_where_data_come_from_and_how_long_it_takes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = checked(capsys)
    assert code == 0
    assert "oracle_funnel: will be simulated" in said
    assert "time: unknown for 4 fits" in said
    (project / "data/processed/oracle_funnel").mkdir(parents=True)
    record = {"method": "naive", "seconds": 90.0}
    write_sealed(project / "results/runs/oracle_funnel/naive/default/0.json", record)
    code, said = checked(capsys, "launch.workers=1")
    assert code == 0
    assert "time: about 6 min for 4 fits on 1 workers, if they take as long as those on" in said


def test_every_mistake_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = checked(
        capsys, "protocol.backbone={name: DHEN, options: {depth: 1}}", "protocol.defaults={x: 1}",
        "options.oracle_funnel={rows: -1}",
    )  # fmt: skip
    assert code == 1
    assert "--set: protocol.backbone.options.depth is no key; known: layers, parts" in said
    assert "--set: protocol.defaults.x is a hyper-parameter of no method" in said
    assert "options.oracle_funnel.rows is -1; it must be" in said
    code, said = checked(capsys, "methods=[naiv, esm]")
    assert code == 1
    assert "did you mean 'naive'?" in said
    assert "methods[1] is 'esm'" in said
    references = "leaderboard={reference: naiv, own_references: {esm: naive, esmm: nave}}"
    code, said = checked(capsys, references)
    assert code == 1
    assert (
        "leaderboard.reference is 'naiv', which is not in methods/; did you mean 'naive'?" in said
    )
    assert "leaderboard.own_references.esm is not in methods/; did you mean 'esmm'?" in said
    assert "leaderboard.own_references.esmm is 'nave', which is not in methods/" in said
    arms = "arms={field: hours, values: [a, b], control: a, strata: [wether]}"
    code, said = checked(capsys, arms)
    assert code == 1
    assert (
        "arms.field is 'hours', no categorical field of oracle_funnel; did you mean 'hour'?" in said
    )
    assert "arms.strata[0] is 'wether', no categorical field of oracle_funnel; " in said
    meanings = (
        "sensitivity={dataset: oracle_funnel, factors: {overlap: [2]}, meanings: {hidden: x}}"
    )
    code, said = checked(capsys, meanings)
    assert code == 1
    assert "sensitivity.meanings.hidden is no option of oracle_funnel: an old name; write" in said


def test_what_is_left_out_is_a_warning_and_what_has_no_room_an_error(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "datasets").symlink_to(ROOT / "datasets")
    (project / "methods").mkdir()
    shutil.copy(ROOT / "methods" / "naive.py", project / "methods")
    shutil.copy(ROOT / "methods" / "references.bib", project / "methods")
    (project / "methods" / "broken.py").write_text("def broken(:\n", encoding="utf-8")
    monkeypatch.setattr(registry, "ROOT", project)
    code, said = checked(capsys, "methods=[naive, broken]", "datasets=[oracle_funnel, jdsearch]")
    assert code == 0
    assert "warning: methods/broken.py cannot be imported: methods/broken.py, line 1: Syn" in said
    assert "warning: jdsearch: get " in said
    assert "data/manual/jdsearch/" in said
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    code, said = checked(capsys, "methods=[naive]")
    assert (code, "error: disk: 0.0 GB free, 1.0 GB needed" in said) == (1, True)


def test_what_a_killed_dvc_left_is_removed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".dvc" / "tmp").mkdir(parents=True)
    (project / ".dvc" / "tmp" / "rwlock").touch()
    code, said = checked(capsys)
    assert code == 0
    assert ".dvc/tmp/rwlock was left unreadable by a killed run and is removed" in said


def saved(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Make the data of the project and fit its two methods."""
    assert main(["data"]) == 0
    assert main(["run"]) == 0
    capsys.readouterr()


def test_what_is_on_record_is_what_a_run_would_leave_alone(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(project, capsys)
    code, said = checked(capsys)
    assert code == 0
    assert "oracle_funnel: processed" in said
    assert "time: everything is on record" in said
    code, said = checked(capsys, "protocol.max_epochs=9")
    assert code == 0
    assert "for 4 fits" in said
    code, said = checked(capsys, "options.oracle_funnel.rows=5000")
    assert code == 0
    assert "oracle_funnel: will be simulated" in said
    assert "for 4 fits" in said
    for path in project.glob("results/runs/oracle_funnel/*/task.json"):
        path.write_text("{")
    assert "for 4 fits" in checked(capsys)[1]


def test_a_method_on_record_that_lost_its_name_is_a_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(project, capsys)
    (project / "datasets").symlink_to(ROOT / "datasets")
    (project / "methods").mkdir()
    for file in ("naive.py", "esmm.py", "references.bib"):
        shutil.copy(ROOT / "methods" / file, project / "methods")
    path = project / "methods" / "naive.py"
    path.write_text(path.read_text().replace('name = "Naive"', "name = 3"))
    monkeypatch.setattr(registry, "ROOT", project)
    code, said = checked(capsys)
    assert code == 0
    assert "warning: methods/naive.py: name is 3" in said
    assert "time: " in said


def test_splits_that_are_cut_are_not_processed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(project, capsys)
    folder = Path("data/processed/oracle_funnel/0")
    for file, left in (("train.parquet", 0), ("test.oracle.parquet", 40), ("schema.json", 40)):
        whole = (folder / file).read_bytes()
        (folder / file).write_bytes(whole[:left])
        code, said = checked(capsys, "leaderboard.reference=naive")
        assert code == 0
        assert "oracle_funnel: will be simulated" in said
        assert "everything is on record" not in said
        (folder / file).write_bytes(whole)


@pytest.mark.parametrize(
    "settings",
    [
        ("protocol.backbone.embedding_size=4096", "protocol.backbone.tower=[65536, 65536, 65536]"),
        ("protocol.backbone.hidden=[65536, 65536, 65536]",),
        ("options.oracle_funnel.rows=1000000000000",),
        ("options.oracle_funnel.test_rows=1000000000000", "launch.on=slurm"),
        ("sensitivity={dataset: oracle_funnel, factors: {rows: [1000000000000]}}",),
    ],
)
def test_what_has_no_room_in_memory_is_an_error(
    capsys: pytest.CaptureFixture[str], settings: tuple[str, ...]
) -> None:
    code, said = checked(capsys, *settings)
    assert code == 1
    assert "error: memory: " in said
    assert "; take fewer rows, narrower layers or a smaller launch.workers" in said


def test_memory_counts_all_layers_with_gradients_and_moments() -> None:
    workspace = Workspace()
    (setting,) = workspace.settings()
    protocol = workspace.params.protocol
    schema = shape(setting)
    assert schema is not None
    assert schema.rows == {"train": 2000}
    wide = protocol.backbone.model_copy(update={"tower": (1000, 1000)})
    narrow = protocol.backbone.model_copy(update={"tower": (1000,)})
    more, less = (
        bytes_of_fit(schema, protocol.model_copy(update={"backbone": backbone}))
        for backbone in (wide, narrow)
    )
    assert more - less == 2 * (1000 * 1001 * 16 + 512 * 1000 * 4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["protocol.defaults.esmm.ctcvr_weight=.nan"], "ctcvr_weight is .nan; it must be within"),
        (["protocol.defaults.esmm.ctcvr_weight=.inf"], "ctcvr_weight is .inf; it must be within"),
        (["protocol.defaults.esmm.ctcvr_weight=-3"], "finite and at least 0, as in methods/esmm"),
        (
            ["sensitivity={dataset: oracle_funnel, factors: {overlap: [0.5000001, 0.5000002]}}"],
            "overlap[1] is 0.5000002; its setting would be overlap-0.5, as that of 0.5000001",
        ),
        (
            ["sensitivity={dataset: oracle_funnel, factors: {seed: [1, 2]}}"],
            "sensitivity.factors.seed is [1, 2]; it cannot be a factor",
        ),
        (
            ["launch.time_limit=1e308"],
            "launch.time_limit is 1e308; it must be a number above",
        ),
        (["arms={field: hour, values: [1], control: 1}"], "it must name at least two arms"),
    ],
)
def test_what_has_no_meaning_is_refused(
    capsys: pytest.CaptureFixture[str], settings: list[str], words: str
) -> None:
    code, said = checked(capsys, *settings)
    assert code == 1
    assert words in said


BROKEN = """
from benchmark.method import Cvr, losses

class Broken(Cvr):
    name = "Broken"
    cite = "ma2018entire"

    def loss(self, batch):
        return 0
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            '    name = "Broken"\n',
            "",
            "methods/broken.py: name is missing; it must be the method's",
        ),
        ('"Broken"', "3", "methods/broken.py: name is 3; it must be the method's name, as text"),
        ('"ma2018entire"', '"esm0"', "methods/broken.py cites 'esm0', which is not in methods/"),
        ("class", "class Other(Cvr): ...\nclass", "must define exactly one Method, found 2"),
        ("(Cvr)", "", "methods/broken.py must define exactly one Method, found 0"),
    ],
)
def test_a_method_that_can_only_fail_is_a_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, words: str
) -> None:
    (project / "methods").mkdir()
    shutil.copy(ROOT / "methods" / "references.bib", project / "methods")
    text = BROKEN.replace(old, new)
    (project / "methods" / "broken.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(registry, "ROOT", project)
    params = Workspace(changes=("methods=[broken]",)).params
    assert any(words in said for said in broken(params)), list(broken(params))


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        ("{name: DHEN, options: {heads: 3}}", "is 3, which does not divide the embedding size"),
        ("{name: NeuMF, options: {pair: [nofield, user]}}", "names 'nofield', which is no"),
        ("{name: ETA}", "attends to a history, which oracle_funnel lacks"),
    ],
)
def test_an_encoder_that_the_data_do_not_allow_is_an_error(
    capsys: pytest.CaptureFixture[str], backbone: str, words: str
) -> None:
    code, said = checked(capsys, f"protocol.backbone={backbone}")
    assert code == 1
    assert f"error: oracle_funnel: {'the' if 'ETA' in backbone else 'option'} " in said
    assert words in said
