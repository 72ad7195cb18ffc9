"""Pieces of simulated logs: populations, logits of a chosen correlation, behaviours of a rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]
Flags = NDArray[np.bool_] | bool

BINS = 50


@dataclass(frozen=True)
class Population:
    """Users or items: the attributes of each, and how often each appears, as shares of 1."""

    attributes: Columns
    share: Array

    @classmethod
    def drawn(cls, rng: Generator, sizes: Mapping[str, int], frequency: Array) -> Population:
        """Return a population with random attributes, each of as many values as ``sizes`` says."""
        ids = {name: rng.integers(size, size=len(frequency)) for name, size in sizes.items()}
        return cls(ids, frequency / frequency.sum())

    def effects(self, rng: Generator, own: float) -> Array:
        """Return a random effect per member, shape (members,).

        It sums effects of variance 1 of each attribute's value and of the log share, and one
        of the member itself, of standard deviation ``own``.
        """
        effects = own * rng.normal(size=len(self.share))
        effects += rng.normal() * standardised(np.log(self.share))
        for ids in self.attributes.values():
            effects += rng.normal(size=ids.max() + 1)[ids]
        return effects


def standardised(values: Array) -> Array:
    """Return the values with mean 0 and variance 1."""
    centred = values - values.mean()
    return centred / centred.std()


def correlated(base: Array, own: Array, correlation: float) -> Array:
    """Return standardised ``own`` turned towards ``base``.

    Their correlation over these very rows is the given one, not up to sampling noise; and at 0
    neither the mean nor the variance of the result depends on the base.
    """
    base = standardised(base)
    rest = _unrelated(base, own)
    rest = standardised(rest - (rest * base).mean() * base)
    return correlation * base + sqrt(1 - correlation**2) * rest


def _unrelated(base: Array, own: Array) -> Array:
    """Return ``own`` standardised within each of equally large bins of ``base``."""
    bins = base.argsort().argsort() * BINS // len(base)
    count = np.bincount(bins)
    centred = own - (np.bincount(bins, own) / count)[bins]
    return centred / np.sqrt(np.bincount(bins, centred**2) / count)[bins]


def exponential_below(rng: Generator, means: Array, limit: float) -> Array:
    """Return exponential times (rows,) of the given means, drawn given that they are shorter."""
    below = -np.expm1(-limit / means)
    times: Array = -means * np.log1p(-rng.random(len(means)) * below)
    return np.minimum(times, limit)


class LogOddsEffect(NamedTuple):
    """How much the log odds of a behaviour rise after the previous one, and the one before it."""

    previous: float = 0.0
    earlier: float = 0.0


@dataclass(frozen=True)
class Past:
    """The probabilities of the previous behaviour, of the one before it and of both together."""

    previous: Array
    earlier: Array | float = 0.0
    both: Array | float = 0.0


@dataclass(frozen=True)
class Step:
    """A behaviour: its odds after neither of the two before it, array (rows,), and its lift."""

    odds: Array
    lift: LogOddsEffect

    def chance(self, *, previous: Flags, earlier: Flags) -> Array:
        """Return its probability, given whether the two behaviours before it happened."""
        raised = np.where(previous, np.exp(self.lift.previous), 1.0)
        raised_too = np.where(earlier, np.exp(self.lift.earlier), 1.0)
        return 1 - 1 / (1 + self.odds * raised * raised_too)

    def rate(self, past: Past) -> Array:
        """Return its probability, given those of the two behaviours before it."""
        after = self.chance(previous=True, earlier=False)
        without = self.chance(previous=False, earlier=False)
        rate = past.previous * after + (1 - past.previous) * without
        if self.lift.earlier:
            rate += past.both * (self.chance(previous=True, earlier=True) - after)
            alone = past.earlier - past.both
            rate += alone * (self.chance(previous=False, earlier=True) - without)
        return rate

    def joint(self, past: Past) -> Array:
        """Return the probability of it and the previous behaviour together."""
        after_both, after = (self.chance(previous=True, earlier=e) for e in (True, False))
        return past.both * after_both + (past.previous - past.both) * after


def intercept(rate: Callable[[float], float], target: float) -> float:
    """Return where a rate that grows with the intercept meets its target, by bisection."""
    low, high = -30.0, 30.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rate(middle) < target else (low, middle)
    return middle


def calibrated(
    logit: Array, lift: LogOddsEffect, past: Past, weights: Array, target: float
) -> Step:
    """Return the step whose intercept makes the mean rate, weighted over rows, the target."""
    odds = np.exp(logit)

    def step(constant: float) -> Step:
        return Step(odds * np.exp(constant), lift)

    def rate(constant: float) -> float:
        return float(np.average(step(constant).rate(past), weights=weights))

    return step(intercept(rate, target))


def funnel(
    rng: Generator, logits: Columns, lifts: Mapping[str, LogOddsEffect], rates: Sequence[float]
) -> Columns:
    """Draw the click and, as if every row were clicked, the behaviours after it; add the oracle.

    ``logits`` and ``rates`` are of the click, then of the behaviours in the order of ``lifts``,
    each raised by the two before it; the last is the conversion. The expected rates, those after
    the click taken among clicks, are exactly the given ones.
    """
    everyone = np.ones(len(logits["click"]))
    past, done, before = Past(everyone), everyone > 0, everyone < 0
    ctr = calibrated(logits["click"], LogOddsEffect(), past, everyone, rates[0]).rate(past)
    columns: Columns = {"oracle_ctr": ctr, "click": rng.random(len(ctr)) < ctr}
    for (label, lift), target in zip(lifts.items(), rates[1:], strict=True):
        step = calibrated(logits[label], lift, past, ctr, target)
        chance = step.chance(previous=done, earlier=before)
        before, done = done, rng.random(len(ctr)) < chance
        past = Past(step.rate(past), past.previous, step.joint(past))
        columns[label] = done
    return {**columns, "oracle_cvr": past.previous, "oracle_conversion": done}
