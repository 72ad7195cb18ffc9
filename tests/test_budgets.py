"""Budgets: what a larger one keeps, how tuning draws count, and that no fit is done twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from helpers.runs import records, run, task

from benchmark import registry
from benchmark.config import Protocol
from benchmark.execution import fitting, tasks
from benchmark.execution.fitting import Job
from benchmark.execution.run import run_tasks
from benchmark.execution.tasks import Reference
from benchmark.files import read_json
from benchmark.schema import Schema
from benchmark.training import trainer
from benchmark.training.method import Method
from benchmark.training.search import defaults

METHOD = registry.names("methods")[0]


def with_budget(protocol: Protocol, **changes: int) -> Protocol:
    tuning = protocol.tuning.model_copy(update=changes)
    return protocol.model_copy(update={"tuning": tuning, "max_epochs": 1})


def test_a_larger_budget_keeps_what_a_smaller_one_finished(
    processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    grown, fresh = tmp_path / "grown", tmp_path / "fresh"
    run(grown, processed, METHOD, with_budget(protocol, trials=2), 2)
    kept = [p for part in ("trials", "default") for p in sorted((grown / part).glob("*.json"))]
    assert [path.name for path in kept] == ["0000-0.json", "0001-0.json", "0.json", "1.json"]
    before = {path: path.stat().st_mtime_ns for path in kept}
    run(grown, processed, METHOD, with_budget(protocol, trials=4), 3)
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    run(fresh, processed, METHOD, with_budget(protocol, trials=4), 3)
    whole = records(fresh)
    found = {name: record for name, record in records(grown).items() if name in whole}
    assert found == whole
    assert len([name for name in whole if name.startswith("trials")]) == 4
    assert len([name for name in whole if name.startswith("default")]) == 3


class Fake:
    """Work that trains nothing: records have the values that are asked for."""

    def __init__(self, value: Callable[[Job], float | None]) -> None:
        self.value = value
        self.done: list[Job] = []

    def __call__(self, jobs: Sequence[Job]) -> list[dict[str, Any]]:
        self.done.extend(jobs)
        return [self._record(job) for job in jobs]

    def _record(self, job: Job) -> dict[str, Any]:
        value = self.value(job)
        record = {
            "hyperparameters": dict(job.hyperparameters),
            "seed": job.seed,
            "data": Schema.read(job.processed).fingerprint,
            "seconds": 0.0,
            "value": value,
        }
        return record if value is not None else record | {"diverged": "no number"}


def is_default(job: Job, protocol: Protocol) -> bool:
    return dict(job.hyperparameters)["learning_rate"] == protocol.learning_rate.default


Run = Callable[..., None]


@pytest.fixture
def run_fake(processed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the task of this test's folder by fake work."""

    def run_by(work: Fake, protocol: Protocol) -> None:
        monkeypatch.setattr(tasks, "train", work)
        run(tmp_path, processed, METHOD, protocol)

    return run_by


@pytest.mark.parametrize(
    ("of_default", "chosen"),
    [((0.9, 0.1, 0.2), "tuned"), ((0.9, 0.4, 0.3), "default"), ((0.9, 0.9, None), "tuned")],
)
def test_a_trial_has_the_mean_of_its_tuning_draws(
    of_default: tuple[float | None, ...],
    chosen: str,
    protocol: Protocol,
    tmp_path: Path,
    run_fake: Run,
) -> None:
    own = with_budget(protocol, trials=3, draws=3)

    def value(job: Job) -> float | None:
        if job.final or not is_default(job, own):
            return 0.5
        return of_default[job.seed - own.tuning.seed]

    run_fake(Fake(value), own)
    assert len(list((tmp_path / "trials").iterdir())) == 9
    assert read_json(tmp_path / "best.json")["part"] == chosen


def test_nothing_is_trained_twice_where_the_defaults_are_the_best(
    protocol: Protocol, tmp_path: Path, run_fake: Run
) -> None:
    own = with_budget(protocol, trials=3)
    work = Fake(lambda job: float(is_default(job, own)))
    run_fake(work, own)
    assert read_json(tmp_path / "best.json")["part"] == "default"
    assert not (tmp_path / "tuned").exists()
    assert [job.final for job in work.done].count(True) == 2
    assert len(work.done) == 3 + 2
    run_fake(work, own)
    assert len(work.done) == 5


@pytest.mark.parametrize("part", ["default", "tuned"])
def test_a_reference_of_equal_capacity_is_fitted_with_its_best_hyperparameters_alone(
    part: str, processed: Path, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = with_budget(protocol, trials=3)
    work = Fake(lambda job: float(is_default(job, own) == (part == "default")))
    monkeypatch.setattr(tasks, "train", work)
    one = task(tmp_path, processed, METHOD, own)
    reference = Reference(*(getattr(one, field.name) for field in fields(one)))
    for _ in range(2):
        assert not run_tasks([reference], nullcontext())
        assert len(work.done) == reference.fits == 3 + 2
    assert sorted(path.name for path in (tmp_path / part).iterdir()) == ["0.json", "1.json"]
    assert not (tmp_path / ({"default", "tuned"} - {part}).pop()).exists()
    assert reference.is_complete()


@pytest.mark.parametrize("damage", ["", "{", "[]", "edited"])
@pytest.mark.parametrize("name", ["trials/0001-0.json", "default/1.json", "best.json"])
def test_a_broken_or_edited_record_is_made_again(
    name: str, damage: str, protocol: Protocol, tmp_path: Path, run_fake: Run
) -> None:
    own = with_budget(protocol, trials=2)
    work = Fake(lambda job: float(is_default(job, own)))
    run_fake(work, own)
    path = tmp_path / name
    whole, count = path.read_bytes(), len(work.done)
    edited = whole.replace(b"0.0", b"0.1", 1)
    assert edited != whole
    path.write_bytes(edited if damage == "edited" else damage.encode())
    run_fake(work, own)
    assert path.read_bytes() == whole
    assert len(work.done) == count + (name != "best.json")


def test_a_fit_is_timed_in_cpu_time_that_no_waiting_lengthens(
    processed: Path, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = tuple(defaults(registry.load("methods", METHOD, Method), protocol).items())
    job = Job(processed, processed, METHOD, protocol, values, seed=0, final=False)
    fit = trainer.fit
    asleep = 2.0

    def slowly(*arguments: Any) -> Any:
        time.sleep(asleep)
        return fit(*arguments)

    monkeypatch.setattr(fitting, "fit", slowly)
    record = fitting.train([job])[0]
    assert record["clock"] == "cpu"
    assert 0 < record["seconds"] < asleep
