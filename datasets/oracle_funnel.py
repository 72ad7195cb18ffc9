"""Oracle funnel: simulated impressions whose potential outcomes are all known."""

from __future__ import annotations

from math import hypot
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.random import Generator

from benchmark.data.options import Seed, SimulatedOptions, Strength
from benchmark.data.reading.history import clicked_before
from benchmark.data.simulation.generator import (
    Array,
    Columns,
    LogOddsEffect,
    Population,
    Rows,
    correlated,
    exponential_below,
    funnel,
    standardised,
)
from benchmark.dataset import Dataset, Field, History
from benchmark.schema import POST_CLICK

USERS, ITEMS, POSITIONS, HOURS = 1500, 500, 10, 24
USER_FIELDS = {"user_segment": 12, "age": 10}
ITEM_FIELDS = {"category": 30, "brand": 100, "price_level": 10}
CANDIDATES = 5  # per impression, of which the recommender shows one
EARLIER = 100_000  # impressions before the log, which the numeric features count
DAYS = np.array(["train"] * 8 + ["valid", "test"])

OWN_EFFECT = 0.5  # of one user or item, where each of its attributes has 1
OWN_TASTE = 0.5  # for one behaviour after the click, where the intent behind all of them has 1
POSITION, HOUR = 0.1, 0.2  # effects, where the taste has 1
HIDDEN = 0.5  # h, where the features have 1
SLOWNESS = 1.0  # of the logarithm of the mean delay, per standard deviation of a taste

# P(click) and, among clicks, P(micro), P(macro), P(conversion).
RATES = {"dense": (0.2, 0.35, 0.25, 0.12), "published": (0.0292, 0.254, 0.132, 0.0346)}


class Selection(NamedTuple):
    """What clicks and conversions share: correlations within the features, and beyond them."""

    explained: float
    hidden: float


class OracleFunnelOptions(SimulatedOptions):
    """The options of the simulator."""

    rows: int = Field(160_000, ge=1000)
    """The number of impressions: eight tenths are train, one is valid, one is test."""
    selection_strength: Strength = 1.0
    """How strongly the features that drive clicks drive conversions, as s in the model."""
    unobserved_confounding: float | None = Field(None, ge=0)
    """The same beyond all features; null is the value of ``selection_strength``."""
    overlap: float = Field(1.0, ge=0.2)
    """What divides the log odds of the click: the lower, the smaller the least propensities."""
    rates: Literal["dense", "published"] = "dense"
    """The rates: chosen for statistical power, or those of HM3's log."""
    sparsity: float = Field(1.0, ge=1)
    """What divides the conversion rate of clicks."""
    micro_informativeness: float = Field(1.5, ge=0, le=10)
    """How much a micro behaviour raises the log odds of the macro behaviour."""
    macro_informativeness: float = Field(2.5, ge=0, le=10)
    """How much a macro behaviour raises the log odds of the conversion."""
    markov_violation: float = Field(0.0, ge=0, le=10)
    """How much a micro behaviour raises the log odds of the conversion directly."""
    seed: Seed = 2021
    history: History = 0
    delay: float = Field(0, ge=0)
    """The mean delay of a conversion in days; 0 is a log without times."""
    test_rows: int = Field(0, ge=0)
    """How many further impressions the test split has."""


class OracleFunnel(Dataset):
    r"""Simulate a recommender's log along HM3's graph, with the truth of every impression.

    The recommender draws candidates by popularity (Zipf) and shows the one of best noisy
    interest, at a random position. With the logistic function :math:`\sigma`, functions
    :math:`x` of the features and hidden :math:`u, v`, all of mean 0 and variance 1, click o,
    micro m, macro a and conversion r have the probabilities

    .. math:: o: \sigma((x_o + hu) / c + b_o), \quad m: \sigma(x_m + hv + b_m)

    .. math:: a: \sigma(x_a + hv + b_a + l_a m), \quad r: \sigma(x_r + hv + b_r + l_r a + d m)

    with intercepts b that make the expected rates those of the option ``rates``, the conversion's
    divided by ``sparsity``. All but the click are drawn for every impression, as if clicked, and
    observed on clicks. No option but ``rows`` and ``seed`` changes the impressions.

    - ``selection_strength`` s sets the correlation :math:`s / \sqrt{1 + s^2}` of :math:`x_o`,
      before the effect that the position has on it alone, with the other x: selection that
      features explain. ``unobserved_confounding`` sets that of u with v in the same way, selection
      that they cannot; null is the same s. With both 0, clicks tell nothing about conversions.
    - ``overlap`` c divides the click's log odds: the lower, the smaller the least propensities.
    - ``micro_informativeness`` :math:`l_a` and ``macro_informativeness`` :math:`l_r` say how much
      a behaviour tells about the next one, beyond what v and the features tell about both.
    - ``markov_violation`` d is a direct effect of micro on conversion; HM3 assumes 0.

    The oracle's probabilities are those given u and v.

    With ``test_rows`` > 0, the test split has so many impressions more: those of an eleventh day,
    of the same users, items and tastes, for truth-based metrics of little sampling error. All
    else stays as it is without; rates and correlations are those of the ten days.

    With ``history`` L > 0, rows list the items of the user's last L clicks in earlier rows. It is
    drawn from nothing: all else stays as it is without.

    With ``delay`` > 0, clicks and conversions have times, in days of a log of ten, at an even
    pace. Delays are exponential with a mean that depends on user and item, ``delay`` on average,
    but cut at the attribution window of two days: they are drawn given that they are shorter. All
    else stays as it is without, labels and oracle too.

    Evidence: the published rates follow from HM3's SR-L counts, read in secondary sources.

    Differs from the paper: conversion depends on the macro behaviour alone only given v.
    """

    title = "Oracle funnel (simulated)"
    cite = "oracle_funnel"
    licence = "MIT"
    claims = (
        "Simulated: results show whether a method removes the selection bias planted here, not how "
        "it does on a real log. What every impression would have led to is known, so errors on the "
        "entire space are measured, not estimated. Unless option unobserved_confounding is 0, "
        "part of the bias comes from what no feature tells; no propensity that is a function of "
        "features removes that part. The dense rates are chosen for statistical power and are "
        "those of no real log; the published rates are those of HM3's log SR-L, from which nothing "
        "else is taken."
    )
    stages = ("impression", "click", "micro", "macro", "conversion")
    categorical = ("user_id", *USER_FIELDS, "item_id", *ITEM_FIELDS, "position", "hour")
    numeric = ("user_activity", "item_popularity")
    attribution_window = 2.0
    options: OracleFunnelOptions
    redraws = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if length := self.options.history:
            self.sequences = {"recent_items": ("item_id", length)}

    def table(self, raw: Path) -> pl.LazyFrame:
        rows = Rows.seeded(self.options.seed, self.options.rows, self.options.test_rows)
        rng = rows.rng
        users = Population.drawn(rng, USER_FIELDS, rng.lognormal(sigma=0.8, size=USERS))
        items = Population.drawn(rng, ITEM_FIELDS, 1 / np.arange(10, 10 + ITEMS))
        interest, intent = _taste(rng, users, items), _taste(rng, users, items)
        shown = _impressions(rows, users, items, interest)
        tastes = {label: intent + OWN_TASTE * _taste(rng, users, items) for label in POST_CLICK}
        logits = _logits(rows, shown, interest, tastes, self._selection())
        logits["click"] /= self.options.overlap
        outcomes = funnel(rows, logits, self._lifts(), self._rates())
        columns: dict[str, Any] = {**shown, **outcomes}
        for name, (field, length) in self.sequences.items():
            columns[name] = clicked_before(
                shown["user_id"], shown[field], outcomes["click"], length
            )
        day = np.arange(rows.log) * len(DAYS) // rows.log
        split = np.append(DAYS[day], np.repeat("test", rows.further))
        frame = pl.LazyFrame({**columns, "split": split, "group": shown["user_id"]})
        observed = pl.when(pl.col("click") == 1).then(pl.col(POST_CLICK))
        frame = frame.with_columns(pl.col(pl.Boolean).cast(pl.Int8)).with_columns(observed)
        if not (mean := self.options.delay):
            return frame
        slow = _taste(rng, users, items)[shown["user_id"], shown["item_id"]]
        return frame.with_columns(_times(rows, mean * np.exp(SLOWNESS * slow - SLOWNESS**2 / 2)))

    def _selection(self) -> Selection:
        strength, beyond = self.options.selection_strength, self.options.unobserved_confounding
        both = (strength, strength if beyond is None else beyond)
        return Selection(*(value / hypot(1, value) for value in both))

    def _lifts(self) -> dict[str, LogOddsEffect]:
        return {
            "micro": LogOddsEffect(),
            "macro": LogOddsEffect(self.options.micro_informativeness),
            "conversion": LogOddsEffect(
                self.options.macro_informativeness, self.options.markov_violation
            ),
        }

    def _rates(self) -> tuple[float, ...]:
        *others, conversion = RATES[self.options.rates]
        return (*others, conversion / self.options.sparsity)


def _taste(rng: Generator, users: Population, items: Population) -> Array:
    """Return how much each user is drawn to each item, (USERS, ITEMS), of variance 1."""
    pairs = rng.normal(size=(USER_FIELDS["user_segment"], ITEM_FIELDS["category"]))
    fit = pairs[np.ix_(users.attributes["user_segment"], items.attributes["category"])]
    main = users.effects(rng, OWN_EFFECT)[:, None] + items.effects(rng, OWN_EFFECT)
    return standardised(fit + main)


def _times(rows: Rows, means: Array) -> list[pl.Expr]:
    """Return the times of clicks and conversions, given the mean delay of each row in days."""
    ten_days = np.arange(rows.log) * len(DAYS) / rows.log
    eleventh = len(DAYS) + np.arange(rows.further) / max(1, rows.further)
    delay = exponential_below(rows.uniform(), means, OracleFunnel.attribution_window)
    times = {"click_time": np.append(ten_days, eleventh), "conversion_delay": delay}
    return [
        pl.when(pl.col(label) == 1).then(pl.lit(pl.Series(name, time)))
        for label, (name, time) in zip(("click", "conversion"), times.items(), strict=True)
    ]


def _impressions(rows: Rows, users: Population, items: Population, interest: Array) -> Columns:
    """Return the features of what the recommender shows."""
    user = rows.draw(lambda rng, count: rng.choice(USERS, count, p=users.share))
    candidates = rows.draw(lambda rng, count: rng.choice(ITEMS, (count, CANDIDATES), p=items.share))
    noise = rows.draw(lambda rng, count: rng.gumbel(size=(count, CANDIDATES)))
    best = (interest[user[:, None], candidates] + noise).argmax(1)
    item = candidates[np.arange(len(user)), best]
    return {
        "user_id": user,
        "item_id": item,
        **{name: ids[user] for name, ids in users.attributes.items()},
        **{name: ids[item] for name, ids in items.attributes.items()},
        "position": rows.draw(lambda rng, count: rng.integers(POSITIONS, size=count)),
        "hour": rows.draw(lambda rng, count: rng.integers(HOURS, size=count)),
        "user_activity": np.log1p(rows.rng.poisson(EARLIER * users.share))[user],
        "item_popularity": np.log1p(rows.rng.poisson(EARLIER * items.share))[item],
    }


def _logits(
    rows: Rows, shown: Columns, interest: Array, tastes: dict[str, Array], selection: Selection
) -> Columns:
    """Return the logit of each behaviour, but for its intercept and lift."""

    def explained(taste: Array) -> Array:
        by_hour = HOUR * rows.rng.normal(size=HOURS)
        return taste[shown["user_id"], shown["item_id"]] + by_hour[shown["hour"]]

    drawn = explained(interest)
    u = standardised(rows.normal(), rows.log)
    v = correlated(u, rows.normal(), selection.hidden, rows.log)
    click = standardised(drawn - POSITION * shown["position"], rows.log)
    return {"click": click + HIDDEN * u} | {
        label: correlated(drawn, explained(taste), selection.explained, rows.log) + HIDDEN * v
        for label, taste in tastes.items()
    }
