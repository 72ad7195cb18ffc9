"""The measures, each declared once: name, title, direction, function and format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmark.metrics import ranking
from benchmark.metrics.calibration import bias, brier, ece, log_loss, pcoc
from benchmark.metrics.diagnostics import ctr_bias, independence
from benchmark.metrics.directions import HIGHER, LOWER, ONE, ZERO, Direction
from benchmark.metrics.discrimination import auc, average_precision, gauc, ks, snips_auc
from benchmark.metrics.ordering import Array
from benchmark.metrics.populations import Population
from benchmark.metrics.risks import dr_log_loss, snips_log_loss


@dataclass(frozen=True)
class Measure:
    """A measure: ``function`` takes its value on a population, ``style`` formats it.

    ``definition`` is the function whose docstring defines it.
    ``bounds`` are the least and the greatest value it can have, None where there is none.
    """

    name: str
    title: str
    direction: Direction
    function: Callable[[Population], float]
    definition: Callable[..., float]
    style: str = ".4f"
    bounds: tuple[float | None, float | None] = (0.0, None)

    @property
    def arrow(self) -> str:
        """What shows which values are better."""
        return self.direction.arrow

    def cost(self, values: Array) -> Array:
        """Return what is lower for better values."""
        return self.direction.cost(values)


UNIT = (0.0, 1.0)
COMMON = (
    Measure("auc", "AUC", HIGHER, lambda p: auc(p.classes), auc, bounds=UNIT),
    Measure("gauc", "GAUC", HIGHER, lambda p: gauc(p.soft, p.score, p.group), gauc, bounds=UNIT),
    Measure(
        "prauc", "average precision", HIGHER, lambda p: average_precision(p.classes),
        average_precision, bounds=UNIT,
    ),
    Measure("ks", "KS", HIGHER, lambda p: ks(p.classes), ks, bounds=UNIT),
    Measure("logloss", "log loss", LOWER, lambda p: log_loss(p.soft, p.score), log_loss),
    Measure("pcoc", "PCOC", ONE, lambda p: pcoc(p.soft, p.score), pcoc, ".3f"),
    Measure("ece", "ECE", LOWER, lambda p: ece(p.reliability), ece, bounds=UNIT),
    Measure("bias", "bias", ZERO, lambda p: bias(p.soft, p.score), bias, "+.4f", (-1.0, 1.0)),
)  # fmt: skip
ON_CLICKS = (
    Measure(
        "snipsauc", "SNIPS AUC (true propensities)", HIGHER,
        lambda p: snips_auc(p.label, p.order, p.propensity), snips_auc, bounds=UNIT,
    ),
    Measure(
        "snipslogloss", "SNIPS log loss", LOWER,
        lambda p: snips_log_loss(p.label, p.score, p.estimated_ctr), snips_log_loss,
    ),
    Measure(
        "pip", "dependence on CTR (PIP)", ZERO, lambda p: independence(p.label, p.score, p.ctr),
        independence, "+.4f", (-1.0, 1.0),
    ),
)  # fmt: skip
ON_IMPRESSIONS = (
    Measure(
        "drlogloss", "doubly robust log loss", LOWER,
        lambda p: dr_log_loss(p.label, p.score, p.estimated_ctr, p.estimated_cvr), dr_log_loss,
        bounds=(None, None),
    ),
)  # fmt: skip
AGAINST_TRUTH = (
    Measure(
        "brier", "Brier score against the true CVR", LOWER, lambda p: brier(p.truth, p.score),
        brier, ".5f", UNIT,
    ),
    Measure(
        "ctrbias", "maximum decile bias by CTR", LOWER,
        lambda p: ctr_bias(p.soft, p.score, p.ctr if p.propensity is None else p.propensity),
        ctr_bias, bounds=UNIT,
    ),
)  # fmt: skip


Listed = Callable[[ranking.Lists, int], float]


def _at(k: int, name: str, title: str, measure: Listed, most: float | None) -> Measure:
    function = partial(_of_lists, measure, k)
    return Measure(f"{name}{k}", f"{title}@{k}", HIGHER, function, measure, bounds=(0.0, most))


def _of_lists(measure: Listed, k: int, rows: Population) -> float:
    return measure(rows.lists, k)


OF_LISTS = (
    *(_at(k, "dcg", "DCG", ranking.dcg, None) for k in (2, 4, 6)),
    *(_at(k, "hits", "hits", ranking.hits, k) for k in (2, 4, 6)),
    *(_at(k, "recall", "recall", ranking.recall, 1.0) for k in (2, 4, 6)),
    *(_at(k, "ndcg", "NDCG", ranking.ndcg, 1.0) for k in (5, 10)),
)
BY_SPACE: dict[str, tuple[Measure, ...]] = {
    "cvr_clicked": COMMON + ON_CLICKS,
    "cvr_random": COMMON + OF_LISTS,
    "cvr_oracle": COMMON + AGAINST_TRUTH,
    "cvr_impressions": ON_IMPRESSIONS,
    "ctr_impressions": COMMON,
    "ctcvr_impressions": COMMON,
}
MEASURES = {measure.name: measure for measures in BY_SPACE.values() for measure in measures}
