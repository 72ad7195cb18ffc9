"""Preprocessing in a process of its own, so that its peak memory is its own; pandas beside it."""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

if TYPE_CHECKING:  # not in the process that is measured
    import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MIB = 1 << 20


class Cost(NamedTuple):
    """What preprocessing took, start and all."""

    seconds: float
    processor: float  # seconds, on all cores
    text: int  # bytes of raw files
    peak: int  # of resident bytes

    def __str__(self) -> str:
        speed = self.text / 1e6 / self.seconds
        took = f"{self.seconds:6.1f} s {self.processor:6.1f} s of cores"
        return f"{self.text / 1e6:6,.0f} MB {took} {speed:5.0f} MB/s {self.peak / MIB:5,.0f} MiB"


def preprocessed(dataset: str, raw: Path, processed: Path) -> Cost:
    """Preprocess raw files in another process and return what it took."""
    start = time.perf_counter()
    command = [sys.executable, __file__, dataset, str(raw), str(processed)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - start
    text = sum(path.stat().st_size for path in raw.rglob("*") if path.is_file())
    processor, peak = json.loads(answer)
    return Cost(seconds, processor, text, peak)


def read_alone(raw: Path) -> str:
    """Return how fast polars reads the files into cells of text, of which nothing is made.

    That is the share of preprocessing that no reader known to us does faster.
    """
    wall, processor = time.perf_counter(), time.process_time()
    text = 0
    for path in sorted(raw.glob("*.csv")):
        cells = pl.scan_csv(path, has_header=False, infer_schema=False, quote_char=None)
        cells.sink_batches(lambda _: None)
        text += path.stat().st_size
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return f"{wall:6.1f} s {processor:6.1f} s of cores {text / 1e6 / wall:5.0f} MB/s"


def frequent(values: pd.Series[Any], least: int) -> pd.Index[Any]:
    """Return the sorted values that are there often enough, as one does in pandas."""
    counts = values.value_counts()
    return counts.index[counts >= least].sort_values()


def encoded(
    rows: pd.DataFrame,
    known: dict[str, pd.Index[Any]],
    means: pd.Series[float],
    spreads: pd.Series[float],
) -> pd.DataFrame:
    """Return scaled numbers and the places of known values, as one does in pandas."""
    numbers = ((rows[means.index] - means) / spreads).fillna(0).astype(np.float32)
    ids = {
        field: values.get_indexer(rows.set_index(field).index) + 1
        for field, values in known.items()
    }
    return numbers.assign(**ids)


def check(split: Path, frame: pd.DataFrame) -> None:
    """Assert that a processed split is what pandas made, rows in the same order."""
    equal(pl.read_parquet(split), frame)


def equal(ours: pl.DataFrame, theirs: pd.DataFrame) -> None:
    """Assert that two tables have the same numbers, missing ones too."""
    for name in theirs:
        expected = theirs[name].to_numpy(dtype=np.float64, na_value=np.nan)
        actual = ours[str(name)].cast(pl.Float64).fill_null(np.nan).to_numpy()
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5, err_msg=str(name))


@dataclass(frozen=True)
class Layout:
    """A raw layout: what writes so many rows of train into a folder, and pandas' way with them.

    Pandas makes the same checks and leaves its splits in files too.

    ``check`` compares a processed split with what pandas made of it.
    """

    dataset: str
    write: Callable[[Path, int], None]
    in_pandas: Callable[[Path], dict[str, Any]]
    check: Callable[[Path, Any], None]

    def main(self, description: str, rows: int) -> None:
        """Measure several sizes, up to so many rows unless the command line says otherwise."""
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--rows", type=int, default=rows, help="of train, at the most")
        parser.add_argument("--compared", type=int, default=1_000_000, help="done in pandas too")
        parser.add_argument("--sizes", type=int, default=4, help="each half as large as the next")
        parser.add_argument(
            "--folder", type=Path, help="for the files, of up to a kilobyte per row"
        )
        options = parser.parse_args()
        self.measure(options.rows, options.compared, options.sizes, options.folder)

    def measure(self, largest: int, compared: int, sizes: int, parent: Path | None) -> None:
        """Print what pandas takes for the rows compared, and what sizes up to the largest take."""
        with tempfile.TemporaryDirectory(dir=parent) as name:
            folder = Path(name)
            self._compare(folder, compared)
            for part in reversed(range(sizes)):
                raw = self._raw(folder, largest >> part)
                cost = preprocessed(self.dataset, raw, folder / "processed")
                print(f"{largest >> part:>11,} rows {cost}", flush=True)
                shutil.rmtree(raw)

    def _compare(self, folder: Path, rows: int) -> None:
        raw = self._raw(folder, rows)
        cost = preprocessed(self.dataset, raw, folder / "processed")
        print(f"{rows:>11,} rows {cost}")
        print(f"{rows:>11,} rows {read_alone(raw):>31} of reading alone")
        wall, processor = time.perf_counter(), time.process_time()
        frames = self.in_pandas(raw)
        for split, frame in frames.items():
            frame.to_pickle(folder / split)  # the fastest that pandas writes by itself
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        for split, frame in frames.items():
            self.check(folder / "processed" / f"{split}.parquet", frame)
        times = (
            f"{wall / cost.seconds:.1f} times as long, {processor / cost.processor:.1f} of cores"
        )
        print(f"{rows:>11,} rows {wall:16.1f} s {processor:6.1f} s of cores in pandas: {times}")
        shutil.rmtree(raw)

    def _raw(self, folder: Path, rows: int) -> Path:
        raw = folder / "raw"
        raw.mkdir()
        self.write(raw, rows)
        return raw


def _main(dataset: str, raw: str, processed: str) -> None:
    from benchmark import registry
    from benchmark.data.dataset import Dataset
    from benchmark.data.preprocess import preprocess

    adapter = registry.load("datasets", dataset, Dataset)()
    preprocess(adapter, dataset, Path(raw), Path(processed), verified=False)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([used.ru_utime + used.ru_stime, _peak()]))


def _peak() -> int:
    """Return the peak of resident bytes; getrusage's is at least that of the parent process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    _main(*sys.argv[1:])
