"""Measure whether epochs over many rows take time and memory in proportion to the rows.

For each size, splits with the fields of speed/training.py are written; a process of its own
reads it as training does and trains ESMM for an epoch, in one thread. Memory is what that process
held at its peak beyond what it held before reading. Run: python speed/epochs.py [--rows 10000000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training import RATE, SIZE, TOWER, Log, _train

from benchmark import registry
from benchmark.files import write_json
from benchmark.schema import Schema
from benchmark.training.blueprint import Blueprint, Embeddings
from benchmark.training.method import Method
from benchmark.training.optimizer import Adam
from benchmark.training.table import Table

PIECE, MIB = 1 << 18, 1 << 20


def write(folder: Path, rows: int) -> None:
    """Write a schema and a training split, with rows in the pieces in which they are read."""
    log = Log(min(PIECE, rows), 1)
    labels = dict.fromkeys(("click", "micro", "macro"), log.click)
    columns = {f"c{i}": log.ids[:, i] for i in range(log.ids.shape[1])}
    columns |= {f"d{i}": log.numbers[:, i] for i in range(log.numbers.shape[1])}
    labels["conversion"] = log.conversion
    coded = {name: values.astype(np.int8) for name, values in labels.items()}
    piece = pl.DataFrame(columns | coded).lazy()
    pieces = [piece] * -(-rows // len(log.ids))
    pl.concat(pieces).head(rows).sink_parquet(folder / "train.parquet", row_group_size=PIECE)
    write_json(folder / "schema.json", log.schema().model_dump())


def measure(folder: Path, few: Path, batch: int) -> dict[str, float]:
    """Read a processed folder, train on it and return what it took beyond what few rows take."""
    torch.set_num_threads(1)
    schema = Schema.read(folder)
    blueprint = Blueprint(schema, lambda s: Embeddings(s, embedding_size=SIZE, hidden=()), TOWER)
    model = registry.load("methods", "esmm", Method)(blueprint)
    optimizer = Adam(model, learning_rate=RATE, weight_decay=0.0, large=200_000)
    _train(model, optimizer, Table.read(few, "train", schema), batch)
    before = _status("VmRSS")
    start = time.perf_counter()
    table = Table.read(folder, "train", schema)
    read = time.perf_counter() - start
    start = time.process_time()
    _train(model, optimizer, table, batch)
    return {
        "read": read,
        "train": time.process_time() - start,
        "packed": sum(part.nbytes for part in table.tensors) / MIB,
        "peak": _status("VmHWM") - before,
    }


def _status(name: str) -> float:
    """Return MiB of this process's resident memory, now or at its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def line(rows: int, batch: int) -> str:
    """Measure a size in a process of its own and return its line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        many, few = Path(folder) / "many", Path(folder) / "few"
        for split, count in ((many, rows), (few, 4 * batch)):
            split.mkdir()
            write(split, count)
        command = [sys.executable, __file__, "--measure", str(many), str(few), str(batch)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    took = json.loads(answer)
    speed, ratio = rows / took["train"] / 1e3, took["peak"] / took["packed"]
    cells = f"{took['read']:.1f} | {took['train']:.1f} | {speed:.1f} | {took['packed']:,.0f}"
    return f"| {rows:,} | {cells} | {took['peak']:,.0f} | {ratio:.2f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the largest table")
    parser.add_argument("--sizes", type=int, default=4, help="each half as large as the next")
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        many, few, batch = options.measure
        print(json.dumps(measure(Path(many), Path(few), int(batch))))
        return
    print("| rows | s to read | s of a core | k rows/s | MiB packed | MiB at peak | ratio |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for part in reversed(range(options.sizes)):
        print(line(options.rows >> part, options.batch), flush=True)


if __name__ == "__main__":
    main()
