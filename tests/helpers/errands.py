"""What tests of workers have done; apart from them, so that a worker imports little."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.execution.jobs import Job

DIARY = "TEST_DIARY"
FOREVER = 600


def double(number: int) -> int:
    return 2 * number


def see(_: object) -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def fail(number: int) -> None:
    raise LookupError(f"no {number}")


def die(_: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(mark: Path) -> str:
    if not mark.exists():
        mark.touch()
        die(mark)
    return "done"


def wait_forever(mark: Path) -> None:
    mark.write_text(str(os.getpid()))
    time.sleep(FOREVER)


def disturbed_train(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Train, and write that down; but the first time, be stopped before."""
    train = import_module("benchmark.execution.fitting").train
    (job,) = jobs
    name = f"{'replicate' if job.final else 'trial'} {job.seed}"
    diary = Path(os.environ[DIARY])
    if not (begun := diary / f"begun {name}").exists():
        begun.touch()
        _stop(job)
    records: list[dict[str, Any]] = train(jobs)
    with (diary / f"ended {name}").open("a", encoding="utf-8") as file:
        file.write("once ")
    return records


def _stop(job: Job) -> None:
    """As a full memory would, as SLURM does for more urgent jobs, and as it warns submitit."""
    number = os.environ.get("SLURM_JOB_ID")
    if number is None or not job.final:
        die(job)
    elif job.seed == 0:
        subprocess.run(["scontrol", "requeue", number], check=True)
    else:
        os.kill(os.getpid(), signal.SIGUSR2)
    time.sleep(FOREVER)
