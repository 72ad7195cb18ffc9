"""Published values beside ours: how far they are apart, and which of their orderings hold here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from benchmark.configuration import documents
from benchmark.configuration.mistakes import WrongValueError, validated
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.records import DatasetResults, Task
from benchmark.reporting.studies.orderings import Check

Variants = Mapping[str, DatasetResults]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Variant(_Section):
    """A study, whose first dataset's runs stand beside published values, and its name in tables."""

    study: str
    title: str


class Entry(_Section):
    """A method, a file name in methods/, as a variant ran it and as a paper's table has it.

    ``mean`` and ``spread`` follow the metrics of the file; without them the row is ours alone.
    """

    method: str
    variant: str
    published_as: str
    table: str = ""
    mean: tuple[float, ...] | None = None
    spread: tuple[float, ...] | None = None


class Published(_Section):
    """The file: one paper's values on one dataset, and what its protocol and ours differ in.

    ``contrast`` is a variant that changes one thing in the first; ``checked`` says what was seen to
    agree, ``spread`` what the paper's ± is.
    """

    source: str
    evidence: str
    spread: str
    metrics: tuple[str, ...]
    variants: dict[str, Variant]
    contrast: str
    checked: tuple[str, ...]
    differences: tuple[str, ...]
    entries: tuple[Entry, ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        known = f"it must be a variant; known: {', '.join(self.variants)}"
        if self.contrast not in self.variants:
            raise WrongValueError("contrast", known)
        for number, entry in enumerate(self.entries):
            if entry.variant not in self.variants:
                raise WrongValueError(f"entries.{number}.variant", known)
            for name, values in (("mean", entry.mean), ("spread", entry.spread)):
                if values is not None and len(values) != len(self.metrics):
                    words = f"it must have {len(self.metrics)} values, one per metric"
                    raise WrongValueError(f"entries.{number}.{name}", words)
        return self

    @classmethod
    def read(cls, path: Path) -> Published:
        """Read and check a file.

        Raises:
            FileNotFoundError: the study has none.
            ConfigError: it is no YAML, or a key is missing, unknown or of the wrong kind.
        """
        return validated(cls, documents.read(path))


@dataclass(frozen=True)
class Row:
    """One metric of one entry: the paper's, ours by replicate, and that of the contrast variant."""

    entry: Entry
    metric: Metric
    paper: float | None
    spread: float | None
    ours: Array | None
    contrast: Array | None

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's, None where one is missing."""
        if self.paper is None or self.ours is None:
            return None
        return float(self.ours.mean()) - self.paper

    @property
    def within(self) -> bool | None:
        """Whether our mean lies within the paper's spread, None where that is unknown."""
        if self.difference is None or self.spread is None:
            return None
        return abs(self.difference) <= self.spread


@dataclass(frozen=True)
class Order:
    """Of two entries the paper has the first ahead by ``published``, a mean over the metrics.

    ``ours`` and ``contrast`` check it on our runs, None where one of the two has not been run.
    """

    better: Entry
    worse: Entry
    published: float
    ours: Check | None
    contrast: Check | None


def rows(published: Published, variants: Variants) -> Iterator[Row]:
    """Yield every metric of every entry, in the order of the file.

    Raises:
        LookupError: a metric's name is unknown.
    """
    metrics = [Metric.parse(name) for name in published.metrics]
    for entry in published.entries:
        ours, other = _run(variants, entry), _contrast(published, variants, entry)
        for column, metric in enumerate(metrics):
            yield Row(
                entry,
                metric,
                None if entry.mean is None else entry.mean[column],
                None if entry.spread is None else entry.spread[column],
                None if ours is None else ours.values(metric.name),
                None if other is None else other.values(metric.name),
            )


def orders(published: Published, variants: Variants, confidence: float) -> Iterator[Order]:
    """Yield every pair that the paper orders, the widest first."""
    pairs = [
        (float(np.mean(a.mean)) - float(np.mean(b.mean)), a, b)
        for a, b in permutations(published.entries, 2)
        if a.mean is not None and b.mean is not None
    ]
    for gain, a, b in sorted(pairs, key=lambda pair: -pair[0]):
        if gain > 0:
            ours = _check(published, _run(variants, a), _run(variants, b), confidence)
            other, another = (_contrast(published, variants, entry) for entry in (a, b))
            yield Order(a, b, gain, ours, _check(published, other, another, confidence))


def _run(variants: Variants, entry: Entry) -> Task | None:
    return _task(variants[entry.variant], entry.method)


def _contrast(published: Published, variants: Variants, entry: Entry) -> Task | None:
    """Return the run of the contrast variant that differs from the entry's in one thing alone."""
    first = next(iter(published.variants))
    return _task(variants[published.contrast], entry.method) if entry.variant == first else None


def _task(results: DatasetResults, method: str) -> Task | None:
    return next((task for task in results.reported if task.method == method), None)


def _check(
    published: Published, better: Task | None, worse: Task | None, confidence: float
) -> Check | None:
    """Compare the means over all metrics, paired over the replicates that both have."""
    if better is None or worse is None:
        return None
    first, second = _averages(better, published.metrics), _averages(worse, published.metrics)
    common = sorted(set(first) & set(second))
    if not common:
        return None
    gains = np.array([first[number] - second[number] for number in common])
    return Check.of(gains, confidence, ".4f", margin=None)


def _averages(task: Task, metrics: tuple[str, ...]) -> dict[int, float]:
    """Return the mean over the metrics of each replicate that has them all."""
    return {
        fit.seed: float(np.mean([fit.test[metric] for metric in metrics]))
        for fit in task.replicates
        if all(metric in fit.test for metric in metrics)
    }
