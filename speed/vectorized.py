"""Measure what training several models as one saves: ``vectorized_trials`` of the protocol.

Every model has its own order of rows, as the seeds of a final run have. Printed is the time of one
step of one model, each by itself and as one, and how many operators it calls (views aside), which
on a GPU bounds small models. Run: python speed/vectorized.py [--device cuda] [--models 5 8]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training import Log

from benchmark import registry
from benchmark.config import Params
from benchmark.training.backbones import blueprint
from benchmark.training.method import Method
from benchmark.training.table import Table
from benchmark.training.trainer import make_optimizer, train_batch
from benchmark.training.vectorized import Step

ROWS, IDS = 1 << 16, 200  # rows, ids of a field
HYPER = {"learning_rate": 1e-3, "weight_decay": 1e-6}
LABELS = ("click", "micro", "macro", "conversion")

HEADER = """\
| method | models | batch | ms alone | ms as one | ratio | calls alone | calls as one |
|---|--:|--:|--:|--:|--:|--:|--:|"""

Steps = Callable[[int], None]


class Counter(TorchDispatchMode):
    """Counts operators that are no views."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.calls += not func.is_view
        return func(*args, **(kwargs or {}))


def contestants(name: str, models: int, batch: int, device: torch.device) -> tuple[Steps, Steps]:
    """Return what takes so many steps of each model: one model after the other, and as one."""
    log = Log(ROWS, 1)
    log.sizes = [IDS] * len(log.sizes)
    labels = np.stack([log.click, log.click, log.click, log.conversion], 1)
    ids, numbers, known = map(torch.from_numpy, (log.ids % IDS, log.numbers, labels))
    table = Table(ids, numbers, known, LABELS).to(device)
    protocol = Params.read(registry.ROOT / "params.yaml").protocol
    kind = registry.load("methods", name, Method)
    methods = [kind(blueprint(log.schema(), protocol.backbone)).to(device) for _ in range(models)]
    optimizers = [make_optimizer(method, HYPER, ROWS) for method in methods]
    orders = [torch.randperm(ROWS, device=device).split(batch) for _ in methods]

    def alone(steps: int) -> None:
        for method, optimizer, order in zip(methods, optimizers, orders, strict=True):
            for rows in order[:steps]:
                train_batch(optimizer, method.updates, table.take(rows))

    def as_one(steps: int) -> None:
        used = frozenset(f"method.{name}" for name, _ in methods[0].named_parameters())
        step = Step(methods, table, used)
        for rows in list(zip(*orders, strict=True))[:steps]:
            step(rows, optimizers)

    return alone, as_one


def milliseconds(steps: Steps, count: int, models: int, device: torch.device) -> float:
    """Return the time of a step of a model: of the processor, or by the clock of a GPU."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    steps(count)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (clock() - start) * 1e3 / (count * models)


def calls(steps: Steps, models: int) -> float:
    """Return how many operators a step of a model calls; those of a step, not of its start."""
    counts = []
    for count in (1, 2):
        with Counter() as counter:
            steps(count)
        counts.append(counter.calls)
    return (counts[1] - counts[0]) / models


def measure(name: str, models: int, batch: int, rounds: int, device: torch.device) -> str:
    """Return a line of the table."""
    alone, as_one = contestants(name, models, batch, device)
    counts = [calls(steps, models) for steps in (alone, as_one)]
    count = min(ROWS // batch, max(10, 20_000 // batch))
    times = [
        [milliseconds(steps, count, models, device) for steps in (alone, as_one)]
        for _ in range(rounds)
    ]
    apart, together = (statistics.median(column) for column in zip(*times, strict=True))
    return (
        f"| {name} | {models} | {batch} | {apart:.2f} | {together:.2f} | {apart / together:.2f} "
        f"| {counts[0]:.0f} | {counts[1]:.0f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", nargs="+", default=["esmm", "hm3"])
    parser.add_argument("--models", nargs="+", type=int, default=[5, 8])
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 256, 1024, 4096])
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is printed")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    print(HEADER)
    for name in options.methods:
        for models in options.models:
            for batch in options.batches:
                print(measure(name, models, batch, options.rounds, device), flush=True)


if __name__ == "__main__":
    main()
