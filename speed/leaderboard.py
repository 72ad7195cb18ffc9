"""Measure how many fits of a leaderboard end per minute: by one worker, and by one per core.

The methods of params.yaml on a small simulated setting, with a small budget, as
`python -m benchmark run` runs them: all side by side, with the same workers. On one device, any
number of workers must find the same numbers; between devices, or where models are trained as one,
it is printed how far metrics of the same fit are apart.
Run: python speed/leaderboard.py [--rows 60000] [--devices cpu cuda]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark import registry
from benchmark.config import Params, Protocol
from benchmark.data.dataset import Dataset
from benchmark.data.preprocess import preprocess
from benchmark.execution.archive import outcomes
from benchmark.execution.executors.local import LocalExecutor, cores, visible
from benchmark.execution.run import run_tasks
from benchmark.execution.tasks import Task
from benchmark.studies import Setting

METRIC = "cvr_auc_oracle"
HEADER = f"""\
| device | workers | models | fits per minute | × the first line | {METRIC} apart: median | most |
|---|--:|---|--:|--:|--:|--:|"""


@dataclass(frozen=True)
class Way:
    """Where, by how many workers, and whether several models are trained as one."""

    device: str
    workers: int
    vectorized: bool

    def executor(self) -> LocalExecutor:
        """Return workers that take turns on the GPUs, if the device is one."""
        on_gpu = self.device.startswith("cuda")
        return LocalExecutor(self.workers, visible(torch.cuda.device_count()) if on_gpu else ())


def seconds(tasks: Sequence[Task], way: Way) -> float:
    """Return how long the tasks take."""
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):  # the bars
        for _, failure in run_tasks(tasks, way.executor()):
            raise failure
    return time.perf_counter() - start


def small(trials: int, way: Way) -> tuple[tuple[str, ...], Protocol]:
    """Return the methods and protocol of params.yaml, with a smaller budget."""
    params = Params.read(registry.ROOT / "params.yaml")
    tuning = params.protocol.tuning.model_copy(update={"trials": trials})
    changes = {"tuning": tuning, "device": way.device, "vectorized_trials": way.vectorized}
    return params.methods, params.protocol.model_copy(update=changes)


def apart(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Return how far the oracle AUC of the same default fits is apart."""
    differences = [
        abs(record["test"][METRIC] - other[path]["test"][METRIC])
        for path, record in one.items()
        if "/default/" in path and METRIC in record["test"]
    ]
    return f"{statistics.median(differences):.1e} | {max(differences):.1e}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=160_000)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--replicates", type=int, default=2)
    parser.add_argument("--devices", nargs="+", default=["cpu"])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, cores()])
    parser.add_argument("--vectorized", action="store_true", help="train models as one, too")
    options = parser.parse_args()
    ways = [
        Way(*way)
        for way in itertools.product(
            options.devices, options.workers, [False, True][: 1 + options.vectorized]
        )
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        processed = folder / "processed"
        simulator = registry.load("datasets", "oracle_funnel", Dataset)(rows=options.rows)
        preprocess(simulator, "oracle_funnel", folder, processed, verified=True)
        setting = Setting("tiny", "tiny", {}, processed)
        first: tuple[Way, float, dict[str, Any]] | None = None
        print(HEADER)
        for number, way in enumerate(ways):
            methods, protocol = small(options.trials, way)
            runs = folder / str(number)
            tasks = [
                Task(runs / name, setting, name, protocol, options.replicates) for name in methods
            ]
            took = seconds(tasks, way)
            results = outcomes(runs)
            fits = sum(path.count("/") == 2 for path in results)
            first = first or (way, took, results)
            if (way.device, way.vectorized) == (first[0].device, first[0].vectorized):
                assert results == first[2], "the number of workers changed a result"
            words = f"{way.device} | {way.workers} | {'as one' if way.vectorized else 'each'}"
            rate = f"{60 * fits / took:.1f} | {first[1] / took:.2f}"
            print(f"| {words} | {rate} | {apart(first[2], results)} |", flush=True)


if __name__ == "__main__":
    main()
