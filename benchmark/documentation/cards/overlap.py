"""Whether clicks can stand in for impressions: the distribution of estimated click propensities."""

from __future__ import annotations

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmark.data.simulation.generator import Array
from benchmark.data.simulation.teacher import FEWEST, Inputs, Trees, cross_fitted
from benchmark.documentation.cards.records import Clipped, Overlap
from benchmark.schema import Schema

ROWS = 100_000  # of train that a model is fitted on; more would take minutes
FLOORS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)  # the first clips nothing
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
DIGITS = 4


def overlap(schema: Schema, train: pl.LazyFrame) -> Overlap | None:
    """Estimate the overlap of a training split; None where it has no clicks to learn from.

    The model is gradient-boosted trees on the features but the histories, as in
    :class:`~benchmark.data.simulation.teacher.Trees`, cross-fitted on at most ``ROWS`` rows.
    """
    if "click" not in train.collect_schema() or not schema.has_impressions:
        return None
    logged = train.filter(policy="log")
    count = logged.select(pl.len()).collect(engine="streaming").item()
    ids = [field.name for field in schema.fields if field.kind == "categorical"]
    numbers = [field.name for field in schema.fields if field.kind == "numeric"]
    every = max(1, -(-count // ROWS))
    rows = logged.select("click", *ids, *numbers).gather_every(every).collect(engine="streaming")
    click = rows["click"].cast(pl.Float64).to_numpy()
    if min(click.sum(), len(click) - click.sum()) < FEWEST:
        return None
    log_odds = cross_fitted(Trees(Inputs.of(rows, ids, numbers), seed=0), click)
    return described(_calibrated(log_odds, click), click)


def _calibrated(log_odds: Array, click: Array) -> Array:
    """Return probabilities by Platt's scaling: boosted trees are too sure of rare clicks."""
    inputs = log_odds[:, None]
    probability: Array = LogisticRegression(C=np.inf).fit(inputs, click).predict_proba(inputs)[:, 1]
    return probability


def described(propensity: Array, click: Array) -> Overlap:
    """Return the facts of propensities, (n,), and clicks, (n,) of 0 and 1."""
    return Overlap(
        rows=len(click),
        clicks=int(click.sum()),
        auc=_rounded(roc_auc_score(click, propensity)),
        quantiles={
            f"{level:.0%}": _rounded(value)
            for level, value in zip(QUANTILES, np.quantile(propensity, QUANTILES), strict=True)
        },
        floors=tuple(_clipped(propensity, click == 1, floor) for floor in FLOORS),
    )


def _clipped(propensity: Array, clicked: Array, floor: float) -> Clipped:
    weights = 1 / np.maximum(propensity[clicked], floor)
    return Clipped(
        floor=floor,
        impressions=_rounded((propensity < floor).mean()),
        clicks=_rounded((propensity[clicked] < floor).mean()),
        effective_clicks=_rounded(weights.sum() ** 2 / np.square(weights).sum()),
        mass=_rounded(weights.sum() / len(clicked)),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
