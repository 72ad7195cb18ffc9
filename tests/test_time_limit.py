"""A limit on the time of a fit: what hangs is ended, on record, and no fault of the method."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import RLock
from typing import Any

import pytest
from helpers.runs import task
from tqdm import tqdm

from benchmark import registry
from benchmark.config import Launch, Protocol
from benchmark.errors import sentence
from benchmark.execution.fitting import Job, located
from benchmark.execution.jobs import JobGroup, Queue, perform
from benchmark.execution.limits import TimeLimitError, time_limit
from benchmark.execution.provenance import environment
from benchmark.files import read_json

METHOD = registry.names("methods")[0]
SAYS = "it took longer than 0.001 minutes, the launch.time_limit of a fit"


def wait() -> None:
    while True:
        time.sleep(0.01)


@located
def hang(_: Sequence[Job]) -> list[dict[str, Any]]:
    wait()
    return []


def test_what_takes_too_long_is_ended_and_nothing_is_left_of_the_alarm() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeLimitError), time_limit(0.02):
        wait()
    with time_limit(600), time_limit(None):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) == before


def test_a_fit_that_hangs_is_a_failure_on_record_that_is_tried_again(
    processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    one = task(tmp_path / "task", processed, METHOD, protocol)
    assert one.prepare(environment("cpu"))
    job = one.job(processed, {}, 0, final=True)
    path = one.folder.resolve() / "default" / "0.json"
    with pytest.raises(TimeLimitError) as error:
        perform(JobGroup({path: job}, hang, seconds=0.06))
    assert sentence(error.value).startswith(SAYS)
    one.fail(error.value)
    record = read_json(one.folder / "failed.json")
    assert record["reason"].startswith(SAYS)
    assert not record["lasting"]
    assert one.prepare(environment("cpu"))
    assert not (one.folder / "failed.json").exists()


def test_jobs_that_are_one_workers_may_take_the_time_of_all(
    processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    one = task(tmp_path / "task", processed, METHOD, protocol)
    jobs = {
        tmp_path / f"task/default/{n}.json": one.job(processed, {}, n, final=True) for n in (0, 1)
    }
    asked = list[JobGroup]()

    class Notebook:
        remote = False

        def submit(self, _: Callable[[Any], Any], group: Any, /) -> Future[Any]:
            asked.append(group)
            future = Future[Any]()
            future.set_result({path: {} for path in group.jobs})
            return future

    queue = Queue(Notebook(), tqdm(disable=True), hang, RLock(), 30.0)
    queue.collect(jobs)
    queue.collect(jobs, vectorized=True)
    assert [group.allowed for group in asked] == [30, 30, 60]
    assert JobGroup(jobs, hang).allowed is None


def test_the_limit_is_no_part_of_what_is_trained() -> None:
    assert Launch(time_limit=0.5).time_limit == 0.5
    assert "time_limit" not in Protocol.model_fields
