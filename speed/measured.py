"""Preprocessing in a process of its own, so that its peak memory is its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

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


def preprocessed(dataset: str, raw: Path, ready: Path) -> Cost:
    """Preprocess raw files in another process and return what it took."""
    start = time.perf_counter()
    command = [sys.executable, __file__, dataset, str(raw), str(ready)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - start
    text = sum(path.stat().st_size for path in raw.rglob("*") if path.is_file())
    processor, peak = json.loads(answer)
    return Cost(seconds, processor, text, peak)


def _main(dataset: str, raw: str, ready: str) -> None:
    from benchmark import registry
    from benchmark.data.dataset import Dataset
    from benchmark.data.preprocess import preprocess

    adapter = registry.load("datasets", dataset, Dataset)()
    preprocess(adapter, dataset, Path(raw), Path(ready), verified=False)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([used.ru_utime + used.ru_stime, _peak()]))


def _peak() -> int:
    """Return the peak of resident bytes; getrusage's is at least that of the parent process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    _main(*sys.argv[1:])
