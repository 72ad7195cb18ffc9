"""Prove and measure everything on a GPU, in at most fourteen minutes.

The tests of the GPU, its throughput, and a small leaderboard on it and on two cores; each in a
process of its own, with a limit of its own. What fails or takes too long says so, and the next
part begins. Exits 1 if a test failed.
Run: python speed/on_gpu.py [--device cpu --small, to try it without one]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def parts(device: str, *, small: bool) -> list[tuple[float, list[str]]]:
    """Return the commands, and how many seconds each may take."""
    tests = ["-m", "pytest", "-q", "-n", "auto", "--durations=5", "tests/test_gpu.py"]
    throughput = ["speed/gpu.py", "--device", device]
    board = ["speed/leaderboard.py", "--devices", "cpu", device, "--vectorized"]
    if small:
        return [
            (600, [*tests, "-k", "esmm or naive"]),
            (300, [*throughput, "--small"]),
            (300, [*board, "--rows", "6000", "--trials", "1", "--workers", "2"]),
        ]
    return [
        (240, tests),
        (330, [*throughput, "--seconds", "300"]),
        (270, [*board, "--rows", "60000", "--workers", "2", "8"]),
    ]


def main() -> int:
    """Run every part and return whether a test failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="little of everything, to try it")
    options = parser.parse_args()
    surroundings = os.environ | {"CVR_TEST_DEVICE": options.device}
    codes = []
    for limit, arguments in parts(options.device, small=options.small):
        print(f"\n$ python {' '.join(arguments)}", flush=True)
        start = time.perf_counter()
        try:
            command = [sys.executable, *arguments]
            run = subprocess.run(command, cwd=ROOT, env=surroundings, timeout=limit, check=False)
            codes.append(run.returncode)
            print(f"exit status {run.returncode}", end="")
        except subprocess.TimeoutExpired:
            codes.append(1)
            print("its time is over", end="")
        print(f" after {time.perf_counter() - start:.0f} s of {limit:.0f}", flush=True)
    return int(codes[0] != 0)


if __name__ == "__main__":
    sys.exit(main())
