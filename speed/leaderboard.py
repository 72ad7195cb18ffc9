"""Measure how many trainings of a leaderboard end per minute: by one worker, and by one per core.

The methods of params.yaml on a small embedded world, with a small budget; one after the other, as
`dvc repro` runs them, and side by side, as `launch` does. All ways must find the same numbers.
Run: python speed/leaderboard.py [--rows 160000]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark import registry
from benchmark.config import Params, Protocol
from benchmark.data.dataset import Dataset
from benchmark.data.preprocess import preprocess
from benchmark.execution.executors.local import LocalExecutor, cores
from benchmark.execution.run import run_tasks
from benchmark.execution.tasks import Task
from benchmark.files import read_json

Way = Callable[[Sequence[Task], int], None]


def one_by_one(tasks: Sequence[Task], workers: int) -> None:
    """Run tasks as the stages of `dvc repro`: each has workers of its own."""
    for task in tasks:
        side_by_side([task], workers)


def side_by_side(tasks: Sequence[Task], workers: int) -> None:
    """Run tasks as `launch` does: all have the same workers."""
    for _, failure in run_tasks(tasks, LocalExecutor(workers)):
        raise failure


def records(folder: Path) -> dict[str, Any]:
    """Return what is on record, but for the time that it took."""
    found = {path: read_json(path) for path in sorted(folder.glob("*/*/*.json"))}
    return {str(p.relative_to(folder)): record | {"seconds": 0} for p, record in found.items()}


def small(trials: int, seeds: int) -> tuple[tuple[str, ...], Protocol]:
    """Return the methods and protocol of params.yaml, with a smaller budget."""
    params = Params.read(registry.ROOT / "params.yaml")
    tuning = params.protocol.tuning.model_copy(update={"trials": trials})
    changes = {"tuning": tuning, "seeds": tuple(range(seeds)), "device": "cpu"}
    return params.methods, params.protocol.model_copy(update=changes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=160_000)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    methods, protocol = small(options.trials, options.seeds)
    ways: list[tuple[str, Way, int]] = [
        ("one worker", side_by_side, 1),
        (f"{cores()} workers, method by method", one_by_one, cores()),
        (f"{cores()} workers, side by side", side_by_side, cores()),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        world = registry.load("datasets", "oracle_funnel", Dataset)(rows=options.rows)
        preprocess(world, "oracle_funnel", folder, folder / "processed", verified=True)
        first: tuple[float, dict[str, Any]] | None = None
        print("| | method-seeds per minute | × one worker |\n|---|--:|--:|")
        for number, (name, way, workers) in enumerate(ways):
            place = folder / str(number)
            tasks = [Task(place / name, folder / "processed", name, protocol) for name in methods]
            start = time.perf_counter()
            with contextlib.redirect_stderr(io.StringIO()):  # the bars
                way(tasks, workers)
            seconds, found = time.perf_counter() - start, records(place)
            first = first or (seconds, found)
            assert found == first[1], "the number of workers changed a result"
            speed = 60 * len(tasks) * options.seeds / seconds
            print(f"| {name} | {speed:.1f} | {first[0] / seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
