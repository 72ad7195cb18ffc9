"""Published fits are made again; records of other code are kept where nothing changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.fake_runs import edit
from helpers.runs import run, task

from benchmark.config import Protocol
from benchmark.execution import verification
from benchmark.execution.executors.executor import Executor
from benchmark.execution.run import run_tasks
from benchmark.execution.tasks import Task
from benchmark.execution.verification import adopt, verify
from benchmark.files import read_json

METHODS = ("naive", "esmm")


class Here:
    """Do all work in this process, at once."""

    remote = False

    def submit(self, function: Callable[[Any], Any], argument: Any, /) -> Any:
        future = Future[Any]()
        future.set_result(function(argument))
        return future


@contextmanager
def here() -> Iterator[Executor]:
    yield Here()


@pytest.fixture(scope="module")
def published(
    processed: Path, protocol: Protocol, tmp_path_factory: pytest.TempPathFactory
) -> list[Task]:
    """Fit two methods with a small budget; return their tasks."""
    folder = tmp_path_factory.mktemp("published")
    tuning = protocol.tuning.model_copy(update={"trials": 2, "draws": 1})
    small = protocol.model_copy(update={"tuning": tuning, "max_epochs": 1})
    for method in METHODS:
        run(folder / method, processed, method, small)
    return [task(folder / method, processed, method, small) for method in METHODS]


@pytest.fixture
def tasks(published: list[Task], tmp_path: Path) -> list[Task]:
    """Copy what was published, for a test to change."""
    for one in published:
        shutil.copytree(one.folder, tmp_path / one.method)
    return [replace(one, folder=tmp_path / one.method) for one in published]


def test_fits_made_again_lead_to_the_same_numbers(published: list[Task]) -> None:
    found = verify(published, here(), fits=2, tolerance=0)
    assert [remade.differences for remade in found] == [()] * 8
    assert len({remade.path for remade in found}) == 8
    parts = [remade.path.parent.name for remade in found]
    assert parts.count("trials") == 4
    assert verify(published, here(), seed=1)[0].path in {remade.path for remade in found}


@pytest.mark.parametrize(
    ("name", "changes", "difference"),
    [
        ("default/0.json", {"test": {"cvr_auc_clicked": 0.99}}, "test.cvr_auc_clicked is "),
        ("default/0.json", {"predictions": "0"}, "predictions is "),
        ("trials/0000-0.json", {"value": 0.99}, "value is "),
        ("trials/0000-0.json", {"data": "other"}, "the data are not those"),
    ],
)
def test_a_forged_record_is_found_and_not_adopted(
    name: str, changes: dict[str, Any], difference: str, tasks: list[Task]
) -> None:
    forged = tasks[0].folder / name
    edit(forged, **changes)
    edit(tasks[0].folder / "task.json", key="of before", code="of before")
    found = {remade.path: remade.differences for remade in verify(tasks, here(), fits=9)}
    assert [path for path, differences in found.items() if differences] == [forged]
    assert any(text.startswith(difference) for text in found[forged])
    [(task, reason)] = adopt(verify(tasks, here(), fits=9))
    assert task is tasks[0]
    assert str(reason).startswith(name)


def test_numbers_may_differ_by_the_tolerance(tasks: list[Task]) -> None:
    record = tasks[0].folder / "default" / "0.json"
    measured = read_json(record)["test"]
    edit(record, test=measured | {"cvr_auc_clicked": measured["cvr_auc_clicked"] + 1e-4})
    sampled = [tasks[0]]
    assert any(remade.differences for remade in verify(sampled, here(), fits=9, tolerance=1e-5))
    assert not any(remade.differences for remade in verify(sampled, here(), fits=9, tolerance=1e-3))


def test_records_of_code_that_led_to_the_same_numbers_are_kept(
    tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(tasks[0].folder / "task.json", key="of before", code="of before", commit="earlier")
    assert [*adopt(verify(tasks, here()))] == [(tasks[0], None)]
    assert not [*adopt(verify(tasks, here()))], "nothing is left to adopt"
    record = read_json(tasks[0].folder / "task.json")
    assert record["adopted"] == {"code": "of before", "fits": 2}
    assert record["commit"] == "earlier"
    monkeypatch.setattr("benchmark.execution.tasks.train", None)  # and nothing to be trained
    assert not run_tasks(tasks, here())


def test_records_of_other_data_or_protocol_are_not_adopted(tasks: list[Task]) -> None:
    edit(tasks[0].folder / "task.json", key="of before", data="others")
    [(_, reason)] = adopt(verify(tasks, here()))
    assert reason == "it was fitted with other data"


def test_trials_alone_do_not_carry_the_records_over(tasks: list[Task]) -> None:
    edit(tasks[0].folder / "task.json", key="of before", code="of before")
    found = verify(tasks, here())
    trials = [remade for remade in found if remade.path.parent.name == verification.TRIALS]
    assert [*adopt(trials)] == [(tasks[0], "none of its final fits was compared")]


def test_nothing_on_record_is_one_sentence(published: list[Task], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no fit is on record"):
        verify([replace(published[0], folder=tmp_path)], here())


def test_records_of_other_defaults_are_not_adopted(tasks: list[Task]) -> None:
    edit(tasks[0].folder / "task.json", key="of before", code="of before")
    rate = tasks[0].protocol.learning_rate.model_copy(update={"default": 5e-3})
    now = replace(tasks[0], protocol=tasks[0].protocol.model_copy(update={"learning_rate": rate}))
    found = [replace(remade, task=now) for remade in verify(tasks[:1], here())]
    edit(now.folder / "task.json", protocol=now.protocol.identity)
    [(_, reason)] = adopt(found)
    assert reason == "default/0.json: the method's defaults are others now"
