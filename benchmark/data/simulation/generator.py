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
class Rows:
    """How the values of rows are drawn: those of a log, then further ones of the same world.

    The two have streams of random numbers of their own, and whatever is fitted to rows (means,
    deviations, intercepts) is fitted to the ``log`` first ones. So neither the log nor the world
    changes with the number of ``further`` rows.
    """

    rng: Generator
    further_rng: Generator
    log: int
    further: int = 0

    @classmethod
    def seeded(cls, seed: int, log: int, further: int = 0) -> Rows:
        """Return the rows whose streams begin at a seed."""
        rng = np.random.default_rng(seed)
        return cls(rng, rng.spawn(1)[0], log, further)

    def draw(self, values: Callable[[Generator, int], NDArray[Any]]) -> NDArray[Any]:
        """Return values (rows, ...) from a function of the stream and the number of rows."""
        log = values(self.rng, self.log)
        if not self.further:
            return log
        return np.concatenate([log, values(self.further_rng, self.further)])

    def uniform(self) -> Array:
        """Return a number between 0 and 1 for each row."""
        return self.draw(lambda rng, rows: rng.random(rows))

    def normal(self) -> Array:
        """Return a number of the standard normal distribution for each row."""
        return self.draw(lambda rng, rows: rng.normal(size=rows))


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


def standardised(values: Array, log: int | None = None) -> Array:
    """Return the values, of which the ``log`` first (by default all) get mean 0 and variance 1."""
    centred = values - values[:log].mean()
    return centred / centred[:log].std()


def correlated(base: Array, own: Array, correlation: float, log: int | None = None) -> Array:
    """Return standardised ``own`` turned towards ``base``.

    Their correlation over the ``log`` first rows (by default all) is the given one, not up to
    sampling noise; and at 0 neither the mean nor the variance of the result depends on the base.
    """
    base = standardised(base, log)
    rest = _unrelated(base, own, log)
    rest = standardised(rest - (rest[:log] * base[:log]).mean() * base, log)
    return correlation * base + sqrt(1 - correlation**2) * rest


def _unrelated(base: Array, own: Array, log: int | None) -> Array:
    """Return ``own`` standardised within each of bins of ``base``, equally large over the log."""
    order = base[:log].argsort()
    fitted = order.argsort() * BINS // len(order)
    count = np.bincount(fitted)
    starts = base[order[np.cumsum(count)[:-1]]]
    bins = np.append(fitted, np.searchsorted(starts, base[len(order) :], side="right"))
    centred = own - (np.bincount(fitted, own[:log]) / count)[bins]
    return centred / np.sqrt(np.bincount(fitted, centred[:log] ** 2) / count)[bins]


def exponential_below(uniform: Array, means: Array, limit: float) -> Array:
    """Return exponential times (rows,) of the given means, drawn given that they are shorter.

    ``uniform`` holds a random number between 0 and 1 for each row.
    """
    below = -np.expm1(-limit / means)
    times: Array = -means * np.log1p(-uniform * below)
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

    def first(self, rows: int) -> Past:
        """Return the probabilities of the first rows."""
        earlier, both = (
            part if isinstance(part, float) else part[:rows] for part in (self.earlier, self.both)
        )
        return Past(self.previous[:rows], earlier, both)


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
    """Return the step whose intercept makes the weighted mean rate the target.

    There may be fewer ``weights`` than rows: then the first rows alone count.
    """
    odds = np.exp(logit)
    log = len(weights)
    fitted = past.first(log)

    def rate(constant: float) -> float:
        step = Step(odds[:log] * np.exp(constant), lift)
        return float(np.average(step.rate(fitted), weights=weights))

    return Step(odds * np.exp(intercept(rate, target)), lift)


def funnel(
    rows: Rows, logits: Columns, lifts: Mapping[str, LogOddsEffect], rates: Sequence[float]
) -> Columns:
    """Draw the click and, as if every row were clicked, the behaviours after it; add the oracle.

    ``logits`` and ``rates`` are of the click, then of the behaviours in the order of ``lifts``,
    each raised by the two before it; the last is the conversion. The expected rates over the log,
    those after the click taken among clicks, are exactly the given ones.
    """
    everyone = np.ones(len(logits["click"]))
    past, done, before = Past(everyone), everyone > 0, everyone < 0
    click = calibrated(logits["click"], LogOddsEffect(), past, everyone[: rows.log], rates[0])
    ctr = click.rate(past)
    columns: Columns = {"oracle_ctr": ctr, "click": rows.uniform() < ctr}
    for (label, lift), target in zip(lifts.items(), rates[1:], strict=True):
        step = calibrated(logits[label], lift, past, ctr[: rows.log], target)
        chance = step.chance(previous=done, earlier=before)
        before, done = done, rows.uniform() < chance
        past = Past(step.rate(past), past.previous, step.joint(past))
        columns[label] = done
    return {**columns, "oracle_cvr": past.previous, "oracle_conversion": done}
