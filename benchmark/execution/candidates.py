"""Candidates of a selection: what each criterion says after every epoch, and what is true of them.

For the study that compares criteria. Only here is the truth about validation rows read before
training is over, as a bound for all criteria; nothing trains on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmark.execution.fitting import Job, located, prepare
from benchmark.metrics.criteria import CRITERIA
from benchmark.metrics.evaluation import evaluate_one
from benchmark.metrics.populations import Labels, Scores
from benchmark.metrics.undefined import UndefinedError
from benchmark.training.method import Method
from benchmark.training.trainer import Data, DivergedError, epochs, predict

TARGETS = ("cvr_auc_oracle", "cvr_logloss_oracle", "cvr_bias_oracle")
BOUNDS = ("cvr_auc_oracle", "cvr_logloss_oracle", "cvr_snipsauc_clicked")


@located
def train_and_record(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Train each to the last epoch, or until it diverges, and return what was true after each."""
    return [_train_and_record_one(job) for job in jobs]


def _train_and_record_one(job: Job) -> dict[str, Any]:
    method, data = prepare(job, estimates=True)
    hyper = dict(job.hyperparameters)
    record: dict[str, Any] = {
        "hyperparameters": hyper,
        "seed": job.seed,
        "data": data.schema.fingerprint,
        "epochs": [],
    }
    try:
        for _ in epochs(method, data, job.protocol, hyper, job.seed):
            record["epochs"].append(_evaluate_epoch(method, data))
    except DivergedError as reason:
        record["diverged"] = str(reason)
    return record


def _evaluate_epoch(method: Method, data: Data) -> dict[str, dict[str, float]]:
    """Return what the criteria say, what the truth would, and what is true of the test split."""
    valid, test = predict(method, data.valid.table), predict(method, data.test.table)
    return {
        "criteria": _values(CRITERIA, data.valid.labels, valid),
        "bounds": _values(BOUNDS, data.valid.labels, valid),
        "targets": _values(TARGETS, data.test.labels, test),
    }


def _values(metrics: Iterable[str], labels: Labels, scores: Scores) -> dict[str, float]:
    """Return those of the metrics that have a value."""
    values = {}
    for metric in metrics:
        try:
            values[metric] = evaluate_one(metric, labels, scores)
        except UndefinedError:
            continue
    return values
