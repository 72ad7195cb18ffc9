"""Metrics, named ``<task>_<measure>_<population>``: no number without the rows it is about.

A metric that is undefined is left out, never 0, and the reason is at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmark.metrics import ranking
from benchmark.metrics.calibration import bias, ece, log_loss, mse, pcoc, reliability
from benchmark.metrics.diagnostics import (
    ctr_bias,
    ctr_deciles,
    estimation_bias,
    independence,
)
from benchmark.metrics.discrimination import auc, average_precision, gauc, ks, snips_auc
from benchmark.metrics.populations import Array, Labels, Population, Scores, population
from benchmark.metrics.risks import dr_log_loss, snips_log_loss
from benchmark.metrics.undefined import UndefinedError

Measure = Callable[[Population], float]


def _listed(measure: Callable[[ranking.Lists, int], float], k: int, rows: Population) -> float:
    return measure(rows.lists, k)


def _ctr(rows: Population) -> Array | None:
    return rows.ctr if rows.propensity is None else rows.propensity


COMMON: dict[str, Measure] = {
    "auc": lambda p: auc(p.label, p.score),
    "gauc": lambda p: gauc(p.label, p.score, p.group),
    "prauc": lambda p: average_precision(p.label, p.score),
    "ks": lambda p: ks(p.label, p.score),
    "logloss": lambda p: log_loss(p.target, p.score),
    "pcoc": lambda p: pcoc(p.target, p.score),
    "ece": lambda p: ece(p.target, p.score),
    "bias": lambda p: bias(p.target, p.score),
}
ON_CLICKS: dict[str, Measure] = {
    "snipsauc": lambda p: snips_auc(p.label, p.score, p.propensity),
    "snipslogloss": lambda p: snips_log_loss(p.label, p.score, p.estimated_ctr),
    "pip": lambda p: independence(p.label, p.score, p.ctr).correlation,
    "pippvalue": lambda p: independence(p.label, p.score, p.ctr).p_value,
}
ON_IMPRESSIONS: dict[str, Measure] = {
    "ieb": lambda p: estimation_bias(p.label, p.score),
    "drlogloss": lambda p: dr_log_loss(p.label, p.score, p.estimated_ctr, p.estimated_cvr),
}
OF_LISTS: dict[str, Measure] = {
    f"{measure.__name__}{k}": partial(_listed, measure, k)
    for measure, places in (
        (ranking.dcg, (2, 4, 6)),
        (ranking.hits, (2, 4, 6)),
        (ranking.recall, (2, 4, 6)),
        (ranking.ndcg, (5, 10)),
    )
    for k in places
}
AGAINST_TRUTH: dict[str, Measure] = {
    "mse": lambda p: mse(p.truth, p.score),
    "ctrbias": lambda p: ctr_bias(p.target, p.score, _ctr(p)),
}
MEASURES: dict[str, dict[str, Measure]] = {
    "cvr_clicked": COMMON | ON_CLICKS,
    "cvr_random": COMMON | OF_LISTS,
    "cvr_oracle": COMMON | AGAINST_TRUTH,
    "cvr_impressions": ON_IMPRESSIONS,
    "ctr_impressions": COMMON,
    "ctcvr_impressions": COMMON,
}


def evaluate(labels: Labels, scores: Scores) -> dict[str, float]:
    """Return every defined metric, by ``<task>_<measure>_<population>``."""
    return assess(labels, scores)[0]


def why_undefined(labels: Labels, scores: Scores) -> dict[str, str]:
    """Return why metrics are undefined, by ``<task>_<population>`` where all of its are."""
    return assess(labels, scores)[1]


def assess(labels: Labels, scores: Scores) -> tuple[dict[str, float], dict[str, str]]:
    """Return :func:`evaluate` and :func:`why_undefined` at the price of one."""
    values, reasons = {}, {}
    for space, measures in MEASURES.items():
        try:
            rows = population(space, labels, scores)
        except UndefinedError as reason:
            reasons[space] = str(reason)
            continue
        for measure, function in measures.items():
            name = space.replace("_", f"_{measure}_")
            try:
                values[name] = function(rows)
            except UndefinedError as reason:
                reasons[name] = str(reason)
    return values, reasons


def evaluate_one(name: str, labels: Labels, scores: Scores) -> float:
    """Return one metric by name, at the price of its population alone.

    Raises:
        LookupError: no metric has this name.
        UndefinedError: it has no value on this split.
    """
    task, measure, rows = parts if len(parts := name.split("_")) == 3 else ("", "", "")
    space = f"{task}_{rows}"
    function = MEASURES.get(space, {}).get(measure)
    if function is None:
        known = ", ".join(sorted(evaluate(labels, scores)))
        raise LookupError(f"no metric has the name {name!r}; defined on this split: {known}")
    return function(population(space, labels, scores))


def curves(labels: Labels, scores: Scores) -> dict[str, Any]:
    """Return what plots need, small enough for a record: tenths of the rows by score and by CTR."""
    reliabilities, deciles = {}, {}
    for space, measures in MEASURES.items():
        try:
            rows = population(space, labels, scores)
        except UndefinedError:
            continue
        if "ece" in measures:
            reliabilities[space] = reliability(rows.target, rows.score)
        if "ctrbias" in measures and (ctr := _ctr(rows)) is not None:
            deciles[space] = ctr_deciles(rows.target, rows.score, ctr)
    return {"reliability": reliabilities, "ctr_deciles": deciles}
