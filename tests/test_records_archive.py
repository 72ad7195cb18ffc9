"""Published records: packed into one file, restored without touching what is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from helpers.worlds import schema

from benchmark.cli import main
from benchmark.execution.archive import FILE, outcomes, pack, restore
from benchmark.files import DamagedError, read_json, write_json, write_text
from benchmark.registry import ROOT
from benchmark.sealing import DIGEST, digest, write_sealed
from benchmark.studies import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "studies/study").mkdir(parents=True)
    (tmp_path / "studies/study/params.yaml").write_text("replicates: 2\n", encoding="utf-8")
    found = Workspace("study")
    write_sealed(found.runs / "base/plain/task.json", {"key": "1"})
    write_sealed(found.runs / "base/plain/default/0.json", {"test": {"auc": 0.1 + 0.2}})
    return found


def test_records_come_back_as_they_were(workspace: Workspace) -> None:
    paths = sorted(workspace.runs.rglob("*.json"))
    texts = [path.read_text() for path in paths]
    pack(workspace)
    for path in paths:
        path.unlink()
    assert restore(workspace) == (2, [])
    assert [path.read_text() for path in paths] == texts


def test_what_is_there_is_not_replaced(workspace: Workspace) -> None:
    pack(workspace)
    newer = workspace.runs / "base" / "plain" / "task.json"
    write_sealed(newer, {"key": "1", "commit": "later"})
    assert restore(workspace) == (0, [])
    assert read_json(newer)["commit"] == "later"


def test_records_of_other_code_are_not_mixed(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = workspace.runs / "base/plain"
    write_sealed(folder / "default/1.json", {"test": {"auc": 0.2}})
    pack(workspace)
    (folder / "default/1.json").unlink()
    write_sealed(folder / "task.json", {"key": "2"})
    assert restore(workspace) == (0, [folder])
    assert not (folder / "default/1.json").exists()
    assert main(["restore", "study"]) == 0
    assert f"warning: {folder} was left as it is" in capsys.readouterr().err

    write_sealed(folder / "default/2.json", {"test": {"auc": 0.1}})
    (folder / "task.json").unlink()
    assert restore(workspace) == (3, [])
    assert not (folder / "default/2.json").exists(), "whose it was is not known"


def test_what_is_there_and_broken_is_replaced(workspace: Workspace) -> None:
    pack(workspace)
    fit = workspace.runs / "base" / "plain" / "default" / "0.json"
    whole = fit.read_text(encoding="utf-8")
    for text in (whole[:30], whole.replace("0.3", "0.9"), ""):
        fit.write_text(text, encoding="utf-8")
        assert restore(workspace) == (1, [])
        assert fit.read_text(encoding="utf-8") == whole


def test_a_broken_schema_is_replaced(workspace: Workspace) -> None:
    path, text = workspace.runs / "base/schema.json", schema().model_dump_json()
    write_text(path, text)
    pack(workspace)
    path.write_text("{cut", encoding="utf-8")
    assert restore(workspace) == (1, [])
    assert path.read_text(encoding="utf-8") == text


SEALED = json.dumps({"a": 1} | {DIGEST: digest({"a": 1})})
ARCHIVES = {
    "path '.*outside.json' leads out": {"path": ["../../../../outside.json"], "record": [SEALED]},
    "record base/task.json is not what was written; take": {
        "path": ["base/plain/task.json", "base/task.json"], "record": [SEALED, '{"a": 1}'],
    },
    "record base/fit.json is not what was written; take": {
        "path": ["base/fit.json"], "record": ["{"],
    },
    "is no archive of records, with a path and a text each; take": {
        "path": ["base/fit.json"], "record": [None],
    },
    "record base/schema.json is not what was written": {
        "path": ["base/schema.json"], "record": ["{cut"],
    },
    "base/a.json/b.json is the path of no record": {
        "path": ["base/a.json", "base/a.json/b.json"], "record": [SEALED, SEALED],
    },
    "base/a.txt is the path of no record": {"path": ["base/a.txt"], "record": [SEALED]},
    "is no archive of records": {"path": ["fit.json"], "record": [SEALED], "more": ["x"]},
    "no archive of records": {"record": [SEALED], "path": ["fit.json"]},
}  # fmt: skip


@pytest.mark.parametrize("says", ARCHIVES)
def test_an_archive_that_is_none_is_named_and_nothing_is_written(
    workspace: Workspace, says: str
) -> None:
    schema = dict.fromkeys(ARCHIVES[says], pl.String)
    shutil.rmtree(workspace.runs)
    pl.DataFrame(ARCHIVES[says], schema=schema).write_parquet(workspace.results / FILE)
    with pytest.raises(DamagedError, match=rf"^results/studies/study/records\.parquet.* {says}"):
        restore(workspace)
    assert not workspace.runs.exists()


def test_a_cut_archive_is_named(workspace: Workspace) -> None:
    pack(workspace)
    path = workspace.results / FILE
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DamagedError, match=r"records\.parquet is no whole Parquet file; take it"):
        restore(workspace)


def test_without_published_records_there_is_one_sentence(workspace: Workspace) -> None:
    with pytest.raises(FileNotFoundError, match="no records were published"):
        restore(workspace)


def test_outcomes_leave_out_the_time_and_refuse_what_was_edited(workspace: Workspace) -> None:
    fit, found = workspace.runs / "base" / "plain" / "default" / "0.json", []
    for seconds in (1.0, 2.0):
        write_sealed(fit, {"test": {"auc": 0.3}, "seconds": seconds})
        found.append(outcomes(workspace.runs))
    expected = {
        "base/plain/task.json": {"key": "1"},
        "base/plain/default/0.json": {"test": {"auc": 0.3}},
    }
    assert found == [expected, expected]
    write_json(workspace.runs / "base/schema.json", {"a": 1})
    assert outcomes(workspace.runs) == expected | {"base/schema.json": {"a": 1}}
    write_json(fit, read_json(fit) | {"test": {"auc": 0.9}})
    with pytest.raises(DamagedError, match=r"0\.json is not what was written; delete it"):
        outcomes(workspace.runs)
