"""Measure how many fits of a leaderboard end per minute: by one worker, and by one per core.

The methods of params.yaml on a small simulated setting, with a small budget, as
`python -m benchmark run` runs them: all side by side, with the same workers. Both must find the
same numbers. Run: python speed/leaderboard.py [--rows 160000]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark import registry
from benchmark.config import Params, Protocol
from benchmark.data.dataset import Dataset
from benchmark.data.preprocess import preprocess
from benchmark.execution.archive import outcomes
from benchmark.execution.executors.local import LocalExecutor, cores
from benchmark.execution.run import run_tasks
from benchmark.execution.tasks import Task
from benchmark.studies import Setting


def seconds(tasks: Sequence[Task], workers: int) -> float:
    """Return how long the tasks take so many workers."""
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):  # the bars
        for _, failure in run_tasks(tasks, LocalExecutor(workers)):
            raise failure
    return time.perf_counter() - start


def small(trials: int) -> tuple[tuple[str, ...], Protocol]:
    """Return the methods and protocol of params.yaml, with a smaller budget."""
    params = Params.read(registry.ROOT / "params.yaml")
    tuning = params.protocol.tuning.model_copy(update={"trials": trials})
    changes = {"tuning": tuning, "device": "cpu"}
    return params.methods, params.protocol.model_copy(update=changes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=160_000)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--replicates", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, cores()])
    options = parser.parse_args()
    methods, protocol = small(options.trials)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        processed = folder / "processed"
        simulator = registry.load("datasets", "oracle_funnel", Dataset)(rows=options.rows)
        preprocess(simulator, "oracle_funnel", folder, processed, verified=True)
        setting = Setting("tiny", "tiny", {}, processed)
        first: tuple[float, dict[str, Any]] | None = None
        print("| workers | fits per minute | × the first line |\n|--:|--:|--:|")
        for number, workers in enumerate(options.workers):
            runs = folder / str(number)
            tasks = [
                Task(runs / name, setting, name, protocol, options.replicates) for name in methods
            ]
            took = seconds(tasks, workers)
            results = outcomes(runs)
            fits = sum(path.count("/") == 2 for path in results)
            first = first or (took, results)
            assert results == first[1], "the number of workers changed a result"
            print(f"| {workers} | {60 * fits / took:.1f} | {first[0] / took:.2f} |", flush=True)


if __name__ == "__main__":
    main()
