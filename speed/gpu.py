"""Measure training on a GPU: what it does per second, and what bounds it.

Prints Markdown with the device's name, for eight minutes unless told otherwise. A part that
fails, or whose time is over, says so in a line; then the exit status is 1.
Run: python speed/gpu.py [--only steps] [--device cpu --small, to try it]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import vectorized
from training import FIELDS, NEVER, NUMBERS, RATE, SIZE, TOWER, Log, torch_rechub

from benchmark import registry
from benchmark.config import Protocol
from benchmark.execution.executors.local import LocalExecutor
from benchmark.schema import Field, Schema
from benchmark.training import host_table
from benchmark.training.blueprint import Blueprint, Embeddings
from benchmark.training.method import Method
from benchmark.training.optimizer import Adam
from benchmark.training.table import Table
from benchmark.training.trainer import batches, train_batch

LEAD = 15.0  # seconds for processes to start in
LABELS = ("click", "micro", "macro", "conversion")
ROW_SPARSE = int(Protocol.model_fields["row_sparse_from"].default)
FAILURES = (ImportError, RuntimeError, AssertionError, AttributeError, TypeError, ValueError)


@dataclass(frozen=True)
class Scale:
    """How much is measured: of a GPU, or just enough to see that every line runs."""

    device: torch.device
    ids: int = 1_000_000  # of all fields
    rows: int = 4_000_000
    epoch_rows: int = 42_000_000  # of Ali-CCP's train split
    sizes: tuple[int, ...] = (2048, 8192, 65536)
    seconds: float = 3.0  # of each measurement
    workers: tuple[int, ...] = (1, 2, 4, 8)
    rounds: int = 3  # of models by themselves and as one


def wait(scale: Scale) -> None:
    """Let the device finish."""
    if scale.device.type == "cuda":
        torch.cuda.synchronize(scale.device)


def table(scale: Scale, rows: int, where: torch.device) -> Table:
    """Return random rows: ids, numbers and labels."""
    ids = torch.randint(scale.ids // FIELDS, (rows, FIELDS), dtype=torch.int32, device=where)
    numbers = torch.randn(rows, NUMBERS, device=where)
    click = torch.rand(rows, 1, device=where) < 0.2
    labels = torch.cat([click, click, click, click & (torch.rand_like(numbers[:, :1]) < 0.1)], 1)
    return Table(ids, numbers, labels.float(), LABELS)


def model(scale: Scale, name: str) -> Method:
    """Return a method on the device, as large as those of speed/training.py."""
    fields = [
        *(Field(name=f"c{i}", kind="categorical", size=scale.ids // FIELDS) for i in range(FIELDS)),
        *(Field(name=f"d{i}", kind="numeric", size=1) for i in range(NUMBERS)),
    ]
    log = Schema.model_validate(Log(2, 1).schema().model_dump() | {"fields": fields})
    kind = registry.load("methods", name, Method)
    blueprint = Blueprint(log, lambda s: Embeddings(s, embedding_size=SIZE, hidden=()), TOWER)
    return kind(blueprint).to(scale.device)


def optimizer(method: nn.Module, large: int) -> Adam:
    """Return the trainer's."""
    return Adam(method, learning_rate=RATE, weight_decay=0.0, large=large)


def rows_per_second(scale: Scale, step: Callable[[], int]) -> float:
    """Repeat a step, after some that do not count, and return the rows of a second."""
    for _ in range(3):
        step()
    wait(scale)
    start, rows = time.perf_counter(), 0
    while time.perf_counter() - start < scale.seconds:
        rows += sum(step() for _ in range(4))
        wait(scale)
    return rows / (time.perf_counter() - start)


def steps(scale: Scale, method: Method, adam: Adam, rows: Table, size: int) -> Callable[[], int]:
    """Return what trains on one batch after the other, epoch after epoch."""

    def endless() -> Iterator[int]:
        for epoch in range(10**9):
            for funnel in batches(rows, size, seed=0, epoch=epoch):
                yield train_batch(adam, method.updates, funnel)

    sizes = endless()
    return lambda: next(sizes)


def bandwidth(scale: Scale) -> float:
    """Return the bytes per second of a copy on the device, read and written."""
    size = 1 << 28 if scale.device.type == "cuda" else 1 << 20  # more than its caches hold
    source = torch.zeros(size, device=scale.device)
    target = torch.empty_like(source)

    def copy() -> int:
        target.copy_(source)
        return 2 * source.nbytes

    return rows_per_second(scale, copy)


def throughput(scale: Scale) -> Iterator[str]:
    """Rows per second of both optimisers, and what of the memory's bandwidth they need."""
    rows, copied = table(scale, scale.rows, scale.device), bandwidth(scale)
    yield f"A copy on the device moves {copied / 1e9:,.0f} GB/s."
    yield ""
    yield "| method | Adam | batch | million rows/s | ms per step | share of bandwidth |"
    yield "|---|---|--:|--:|--:|--:|"
    for name in ("esmm", "hm3"):
        for words, large in (("dense", NEVER), ("row-sparse", 1)):
            for size in scale.sizes:
                method = model(scale, name)
                step = steps(scale, method, optimizer(method, large), rows, size)
                speed = rows_per_second(scale, step)
                share = traffic(scale, method, size, large) * speed / size / copied
                cells = f"{speed / 1e6:.2f} | {1e3 * size / speed:.2f} | {share:.0%}"
                yield f"| {name} | {words} | {size} | {cells} |"


def traffic(scale: Scale, method: Method, size: int, large: int) -> float:
    """Return the least bytes that a step moves: seven passes of Adam over what it trains.

    Those are gradient, weight and two moments read, and all but the gradient written.
    """
    touched = size * FIELDS if large == 1 else scale.ids
    others = sum(part.numel() for part in method.parameters()) - scale.ids * SIZE
    return 4.0 * (7 * (touched * SIZE + others) + 2 * size * (FIELDS * SIZE + FIELDS + NUMBERS))


def epoch(scale: Scale) -> Iterator[str]:
    """An epoch as long as Ali-CCP's, with the rows on the device, and from host memory."""
    size = scale.sizes[-1]
    here = table(scale, scale.epoch_rows, scale.device)
    yield "| rows | where they are | s per epoch | million rows/s |"
    yield "|--:|---|--:|--:|"
    for where in ("on the device", "in host memory"):
        if where == "in host memory":
            here = host_table.in_host_memory(here.to(torch.device("cpu")), scale.device)
        method = model(scale, "esmm")
        adam = optimizer(method, ROW_SPARSE)
        start = time.perf_counter()
        for funnel in batches(here, size, seed=0, epoch=0):
            train_batch(adam, method.updates, funnel)
        wait(scale)
        seconds = time.perf_counter() - start
        speed = scale.epoch_rows / seconds / 1e6
        yield f"| {scale.epoch_rows:,} | {where} | {seconds:.1f} | {speed:.2f} |"


def waits(scale: Scale) -> Iterator[str]:
    """Whether any step makes the host wait for the device."""
    if scale.device.type != "cuda":
        yield "No GPU, so nothing to wait for."
        return
    rows = table(scale, 1 << 17, scale.device)
    for name in ("esmm", "hm3"):
        for large in (NEVER, 1):
            method = model(scale, name)
            step = steps(scale, method, optimizer(method, large), rows, 8192)
            step()
            torch.cuda.set_sync_debug_mode("error")
            try:
                for _ in range(8):
                    step()
            finally:
                torch.cuda.set_sync_debug_mode("default")
    yield "No step of ESMM or HM3, dense or row-sparse, made the host wait."


def graphs(scale: Scale) -> Iterator[str]:
    """What calling a step as one graph, or compiled, would save: the trainer does neither."""
    yield "| batch | way | million rows/s |"
    yield "|--:|---|--:|"
    rows = table(scale, max(scale.sizes), scale.device)
    for size in scale.sizes:
        funnel = rows.take(torch.arange(size, device=scale.device))
        ways: dict[str, Callable[[Method], Callable[[], None]]] = {
            "as it is": lambda method: _plain(method, funnel, method.loss),  # noqa: B023
            "compiled": lambda method: _plain(method, funnel, torch.compile(method.loss)),  # noqa: B023
            "as a CUDA graph": lambda method: _captured(method, funnel),  # noqa: B023
        }
        if scale.device.type != "cuda":
            del ways["as a CUDA graph"], ways["compiled"]
        for words, way in ways.items():
            try:
                run = way(model(scale, "esmm"))
                speed = rows_per_second(scale, lambda: (run(), size)[1])  # noqa: B023
                yield f"| {size} | {words} | {speed / 1e6:.2f} |"
            except FAILURES as error:
                yield f"| {size} | {words} | left out: {_first_line(error)} |"


def _plain(method: Method, funnel: object, loss: Callable[..., torch.Tensor]) -> Callable[[], None]:
    capturable = next(method.parameters()).is_cuda
    adam = torch.optim.Adam(method.parameters(), RATE, fused=True, capturable=capturable)

    def step() -> None:
        adam.zero_grad()
        loss(funnel).backward()
        adam.step()

    return step


def _captured(method: Method, funnel: object) -> Callable[[], None]:
    step, side = _plain(method, funnel, method.loss), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay() -> None:
        graph.replay()

    replay.__dict__["step"] = step  # what the graph writes to lives as long as this
    return replay


def as_one(scale: Scale) -> Iterator[str]:
    """Several small models as one: speed/vectorized.py."""
    yield vectorized.HEADER
    for name in ("esmm", "hm3"):
        for batch in scale.sizes[:2]:
            yield vectorized.measure(name, 8, batch, scale.rounds, scale.device)


def processes(scale: Scale) -> Iterator[str]:
    """Several worker processes on one device."""
    yield "| processes | million rows/s, all together |"
    yield "|--:|--:|"
    for count in scale.workers:
        with LocalExecutor(count) as executor:
            begin = time.time() + LEAD
            futures: list[Future[float]] = [
                executor.submit(small, (scale, begin)) for _ in range(count)
            ]
            yield f"| {count} | {sum(future.result() for future in futures) / 1e6:.2f} |"


def small(given: tuple[Scale, float]) -> float:
    """Train on a small table, from a time on at which others begin, and return rows per second."""
    scale, begin = given
    torch.set_num_threads(1)
    tiny = Scale(scale.device, ids=20_000, rows=100_000, seconds=scale.seconds)
    method = model(tiny, "esmm")
    rows = table(tiny, tiny.rows, tiny.device)
    step = steps(tiny, method, optimizer(method, NEVER), rows, 2048)
    step()
    time.sleep(max(0.0, begin - time.time()))
    return rows_per_second(tiny, step)


def peers(scale: Scale) -> Iterator[str]:
    """torch-rechub on the same device, if it is installed."""
    log, size = Log(min(scale.rows, 1_000_000), 3), scale.sizes[-1]
    run = torch_rechub(log, size, str(scale.device))
    start = time.perf_counter()
    run()
    wait(scale)
    speed = len(log.ids) / (time.perf_counter() - start)
    yield f"torch-rechub, ESMM, batch {size}: {speed / 1e6:.3f} million rows/s."


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


PARTS = (throughput, epoch, waits, graphs, as_one, processes, peers)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="little of everything, to try it")
    parser.add_argument("--only", default="", help="parts whose names have this in them")
    parser.add_argument("--seconds", type=float, default=480, help="when to stop; by default 480")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("error: there is no GPU here; `--device cpu --small` tries what can be without")
    torch.set_num_threads(1)
    scale = Scale(device)
    if options.small:
        scale = Scale(device, 2000, 4096, 8192, (256, 512), 0.05, (1, 2), 1)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"# {name}, PyTorch {torch.__version__}")
    start, failed = time.perf_counter(), False
    for part in PARTS:
        if options.only in part.__name__:
            print(f"\n## {part.__doc__}\n".replace("\n    ", "\n"), flush=True)
            try:
                for line in part(scale):
                    print(line, flush=True)
                    if time.perf_counter() - start > options.seconds:
                        sys.exit(f"the {options.seconds:.0f} seconds are over")
            except FAILURES as error:
                failed |= not isinstance(error, ImportError)
                print(f"left out: {_first_line(error)}", flush=True)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
