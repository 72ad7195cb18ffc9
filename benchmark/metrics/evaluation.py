"""Metrics, named ``<task>_<measure>_<population>``: no number without the rows it is about.

A metric that is undefined is left out, never 0, and the reason is at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.metrics.measures import BY_SPACE, Measure
from benchmark.metrics.populations import Labels, Scores, population
from benchmark.metrics.undefined import UndefinedError


@dataclass(frozen=True)
class Assessment:
    """What a record holds of a test split; a space is ``<task>_<population>``.

    ``test`` has the defined metrics, ``undefined`` the reason of each other one, by space where it
    is the same for all. ``counts`` has the ``rows`` and ``positives`` of each space; positives are
    expected ones where the true probabilities are known. ``reliability`` has tenths of the rows.
    """

    test: dict[str, float]
    undefined: dict[str, str]
    counts: dict[str, dict[str, float]]
    reliability: dict[str, list[tuple[float, ...]]]


def assess(labels: Labels, scores: Scores) -> Assessment:
    """Return all that is known of a split's predictions."""
    assessment = Assessment({}, {}, {}, {})
    for space, measures in BY_SPACE.items():
        try:
            rows = population(space, labels, scores)
        except UndefinedError as reason:
            assessment.undefined[space] = str(reason)
            continue
        assessment.counts[space] = rows.counts
        for measure in measures:
            name = _name(space, measure)
            try:
                assessment.test[name] = measure.function(rows)
            except UndefinedError as reason:
                assessment.undefined[name] = str(reason)
        if any(measure.name == "ece" for measure in measures):
            assessment.reliability[space] = rows.reliability
    return assessment


def evaluate(labels: Labels, scores: Scores) -> dict[str, float]:
    """Return every defined metric by name."""
    return assess(labels, scores).test


def evaluate_one(name: str, labels: Labels, scores: Scores) -> float:
    """Return one metric by name, at the price of its population alone.

    Raises:
        LookupError: no metric has this name.
        UndefinedError: it has no value on this split.
    """
    task, measure, rows = parts if len(parts := name.split("_")) == 3 else ("", "", "")
    space = f"{task}_{rows}"
    for known in BY_SPACE.get(space, ()):
        if known.name == measure:
            return known.function(population(space, labels, scores))
    defined = ", ".join(sorted(evaluate(labels, scores)))
    raise LookupError(f"no metric has the name {name!r}; defined on this split: {defined}")


def _name(space: str, measure: Measure) -> str:
    return space.replace("_", f"_{measure.name}_")
