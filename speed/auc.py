"""Measure how many scores per second the exact AUC takes on one core, and what others take.

Run: python speed/auc.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.metrics.discrimination import Classes, auc, gauc
from benchmark.metrics.ordering import Array, Integers, Order

ROWS = (100_000, 1_000_000, 10_000_000)
GROUP_ROWS = 30


def torch_auc(label: Array, score: Array) -> float:
    """Return the AUC, exact under ties, by PyTorch's sort."""
    ordered, order = torch.sort(torch.from_numpy(score))
    _, sizes = torch.unique_consecutive(ordered, return_counts=True)
    ends = sizes.cumsum(0) - 1
    total = torch.from_numpy(label)[order].cumsum(0)[ends]
    positives = total.diff(prepend=total.new_zeros(1))
    negatives = sizes - positives
    wins = positives @ (negatives.cumsum(0) - negatives / 2)
    return float(wins / (positives.sum() * negatives.sum()))


def pandas_gauc(label: Array, score: Array, group: Integers) -> float:
    """Return the GAUC by ranks within pandas groups."""
    frame = pd.DataFrame({"group": group, "label": label, "score": score})
    frame["ranks"] = frame.groupby("group")["score"].rank() * label
    sums = frame.groupby("group").agg(
        rows=("label", "size"), hits=("label", "sum"), ranks=("ranks", "sum")
    )
    both = sums[(sums.hits > 0) & (sums.hits < sums.rows)]
    wins = both.ranks - both.hits * (both.hits + 1) / 2
    return float(np.average(wins / (both.hits * (both.rows - both.hits)), weights=both.rows))


def seconds(function: Callable[[], float]) -> float:
    """Return the least processor time of three calls."""
    times = []
    for _ in range(3):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def compare(rows: int, rate: float, kind: type[np.floating]) -> None:
    """Print a line per implementation; scores are those of a network that predicts in ``kind``."""
    rng = np.random.default_rng(0)
    logit = rng.normal(np.log(rate / (1 - rate)), 1, rows)
    score = (1 / (1 + np.exp(-logit))).astype(kind).astype(np.float64)
    label = (rng.random(rows) < score).astype(np.float64)
    group = rng.integers(0, rows // GROUP_ROWS, rows)
    ways: dict[str, dict[str, Callable[[], float]]] = {
        "AUC": {
            "ours": lambda: auc(Classes.at(label, Order.of(score))),
            "scikit-learn": lambda: float(roc_auc_score(label, score)),
            "torch": lambda: torch_auc(label, score),
        },
        "GAUC": {
            "ours": lambda: gauc(label, score, group),
            "pandas": lambda: pandas_gauc(label, score, group),
        },
    }
    for measure, calls in ways.items():
        for name, call in calls.items():
            spent, ours = seconds(call), seconds(calls["ours"])
            gap = abs(call() - calls["ours"]())
            what = f"{np.dtype(kind).name}  {label.mean():4.2f}  {measure:4} {name:12}"
            speed = f"{rows / spent / 1e6:6.1f} M/s  {spent / ours:5.1f}  {gap:.0e}"
            print(f"{rows:>10,}  {what}  {speed}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("rows, precision, share of ones, implementation, scores per second, time / ours, error")
    for size in options.rows:
        for share, precision in ((0.03, np.float32), (0.5, np.float32), (0.03, np.float64)):
            compare(size, share, precision)


if __name__ == "__main__":
    main()
