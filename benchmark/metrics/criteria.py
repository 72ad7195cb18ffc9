"""The criteria by which epochs and hyper-parameters are chosen: observed ones, no oracle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.metrics.directions import HIGHER, Direction
from benchmark.metrics.measures import MEASURES
from benchmark.metrics.undefined import UndefinedError
from benchmark.schema import Schema

OBSERVED = tuple(
    f"{task}_{measure}_{rows}"
    for task, rows in (("cvr", "clicked"), ("ctcvr", "impressions"), ("cvr", "random"))
    for measure in ("auc", "gauc", "prauc", "logloss")
)
ESTIMATED = ("cvr_snipslogloss_clicked", "cvr_drlogloss_impressions")
CRITERIA = (*OBSERVED, *ESTIMATED)


def direction(metric: str) -> Direction:
    """Return which values of a metric are better."""
    return MEASURES[metric.split("_")[1]].direction


def best(metric: str, values: Sequence[float]) -> int:
    """Return the index of the best value, the first of equals."""
    return int(np.argmin(direction(metric).cost(np.array(values))))


def is_maximised(metric: str) -> bool:
    """Return whether higher values of a criterion are better; else lower ones are."""
    return direction(metric) is HIGHER


def check_name(metric: str) -> None:
    """Make sure that a metric may select.

    Raises:
        LookupError: it is no criterion.
    """
    if metric not in CRITERIA:
        why = "reads the oracle, which is for tests alone" if _oracle(metric) else "is no criterion"
        raise LookupError(
            f"params.yaml: protocol.selection_metric {metric!r} {why}; "
            f"choose one of {', '.join(CRITERIA)}"
        )


def check(metric: str, schema: Schema) -> None:
    """Make sure that a metric may select, and does on this dataset.

    Raises:
        LookupError: it is no criterion.
        UndefinedError: it takes impressions without a click, and the dataset has none.
    """
    check_name(metric)
    if not schema.has_impressions and (metric in ESTIMATED or metric.endswith("_impressions")):
        raise UndefinedError(
            f"params.yaml: protocol.selection_metric {metric!r} needs impressions without a click, "
            f"which {schema.dataset} lacks; choose a criterion of the clicked rows"
        )


def _oracle(metric: str) -> bool:
    return metric.endswith("_oracle") or "_snipsauc_" in metric
