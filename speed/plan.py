"""Estimate how long a study takes and what it costs, from the seconds that fits took here.

Reads the seconds of every replicate's fit in results/runs.csv, per row and gradient, takes the mean
over methods, and multiplies. What a GPU does is not in them: the page says what it would
take if one did the work of so many cores. Run: python speed/plan.py [--rows N] [--speedup S ...]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

RUNS, PAGE = Path("results/runs.csv"), Path("docs/how-to/planning.md")


@dataclass(frozen=True)
class Rate:
    """What was measured: seconds of one core per row and gradient, by method."""

    seconds: dict[str, float]
    device: str
    trainings: int

    @classmethod
    def read(cls, path: Path) -> Rate:
        """Take the mean of each method's trainings.

        Raises:
            ValueError: trainings of several devices are on record.
        """
        runs = pd.read_csv(path, usecols=["method", "device", "seconds", "sample_gradients"])
        if len(devices := runs["device"].unique()) != 1:
            raise ValueError(f"{path} has runs of {', '.join(devices)}; keep those of one device")
        sums = runs.groupby("method")[["seconds", "sample_gradients"]].sum()
        rates = sums["seconds"] / sums["sample_gradients"]
        return cls({str(m): float(s) for m, s in rates.items()}, str(devices[0]), len(runs))

    @property
    def mean(self) -> float:
        """The mean over methods."""
        return sum(self.seconds.values()) / len(self.seconds)


@dataclass(frozen=True)
class Study:
    """How much is to be trained."""

    methods: int
    datasets: int
    trials: int
    replicates: int
    rows: float
    epochs: float

    @property
    def trainings(self) -> int:
        """All trials, and the defaults and the best of them on every replicate."""
        return self.methods * self.datasets * (self.trials + 2 * self.replicates)

    def core_hours(self, rate: Rate) -> float:
        """Return the hours of one core, were time proportional to rows × epochs."""
        return self.trainings * self.rows * self.epochs * rate.mean / 3600


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in {"methods": 30, "datasets": 20, "trials": 30, "replicates": 10}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rows", type=float, default=1e7, help="for training, of a dataset")
    parser.add_argument("--epochs", type=float, default=5.0, help="until a training stops")
    parser.add_argument(
        "--speedup",
        type=float,
        nargs="+",
        default=[20, 100],
        help="of a GPU over the core measured",
    )
    parser.add_argument("--price", type=float, default=0.05, help="of one core, per hour")
    parser.add_argument("--gpu-price", type=float, default=2.5, help="of one GPU, per hour")
    return parser.parse_args()


def lines(rate: Rate, study: Study, chosen: argparse.Namespace) -> list[str]:
    """Return the rows of the table: workers, days, price."""
    hours = study.core_hours(rate)
    places = {"1 core": 1, "16 cores": 16, "cluster, 256 cores": 256}
    rows = [_line(name, hours / count, hours * chosen.price) for name, count in places.items()]
    for speedup in chosen.speedup:
        for count in (1, 8):
            name = f"{count} GPU{'s' * (count > 1)}, if one does the work of {speedup:g} cores"
            share = hours / speedup
            rows.append(_line(name, share / count, share * chosen.gpu_price))
    return rows


def _line(name: str, hours: float, price: float) -> str:
    return f"| {name} | {hours:,.1f} h = {hours / 24:,.1f} days | {price:,.0f} |"


def page(rate: Rate, study: Study, chosen: argparse.Namespace) -> str:
    """Return the planning page."""
    fastest, slowest = (1 / seconds(rate.seconds.values()) / 1e3 for seconds in (min, max))
    table = "\n".join(lines(rate, study, chosen))
    return f"""# Plan a large study

`python speed/plan.py` estimates time and cost from the fits in `{RUNS}` and writes this page
(last on {datetime.now(UTC):%-d %B %Y}). Call it with `--help` to see what you can change.

**Measured.** {rate.trainings} fits of {len(rate.seconds)} methods on {rate.device}, one core
each, beside other work, so that the estimate is high:
{1 / rate.mean / 1e3:,.0f} thousand rows × gradients per second in the mean over methods;
the fastest method reaches {fastest:,.0f} thousand and the slowest {slowest:,.0f} thousand.

**Planned.** {study.methods} methods × {study.datasets} datasets
× ({study.trials} trials + 2 × {study.replicates} replicates) = {study.trainings:,} fits
of {study.rows:,.0f} rows and {study.epochs:g} epochs: {study.core_hours(rate):,.0f} core hours.

| workers | time | price |
|---|--:|--:|
{table}

The prices are assumptions: {chosen.price:g} per core hour and {chosen.gpu_price:g} per GPU hour,
in any currency. Replace them with yours. We had no GPU, so its speed relative to a core is an
assumption too; measure it with `python speed/gpu.py` and `python speed/training.py`.

The estimate assumes that time is proportional to rows × epochs. The measured dataset is small.
Larger vocabularies, other backbones and reading cost more, so measure one dataset of the intended
size before you buy hours. The estimate also assumes that workers are never idle. A search waits
for each of its batches, which matters only if there are fewer tasks
({study.methods * study.datasets:,} here) than workers.
"""


def main() -> None:
    """Write the page and print its table."""
    chosen = parsed()
    names = ("methods", "datasets", "trials", "replicates", "rows", "epochs")
    study = Study(**{name: getattr(chosen, name) for name in names})
    text = page(Rate.read(RUNS), study, chosen)
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
