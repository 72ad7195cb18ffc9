"""Candidates of a selection: what each criterion says after every epoch, and what is true of them.

For the study that compares criteria. It is the one place where the truth about validation rows is
asked before training is over, as the bound of what any criterion can tell; nothing trains on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmark import registry
from benchmark.config import Protocol
from benchmark.execution.jobs import Job, Queue, workers
from benchmark.execution.provenance import describe, environment
from benchmark.execution.run import prepare
from benchmark.execution.tasks import claim
from benchmark.metrics.criteria import CRITERIA
from benchmark.metrics.evaluation import evaluate_one
from benchmark.metrics.populations import Labels, Scores
from benchmark.metrics.undefined import UndefinedError
from benchmark.schema import Schema
from benchmark.training.method import Method
from benchmark.training.search import sample
from benchmark.training.trainer import Data, DivergedError, epochs, predict

TARGETS = ("cvr_auc_oracle", "cvr_logloss_oracle", "cvr_bias_oracle")
BOUNDS = ("cvr_auc_oracle", "cvr_logloss_oracle", "cvr_snipsauc_clicked")


def train_all(
    draws: Mapping[Path, tuple[Path, int]], method_name: str, protocol: Protocol, count: int
) -> None:
    """Train the defaults and random hyper-parameters, and record every epoch of each.

    ``draws`` has a ready dataset and a seed, of hyper-parameters and weights, by the folder of its
    records. All trainings stand in one queue.

    Raises:
        UndefinedError: a dataset does not know what impressions without a click would lead to.
    """
    method, jobs = registry.load("methods", method_name, Method), dict[Path, Job]()
    where = environment(protocol.device)
    for folder, (processed, seed) in draws.items():
        schema = Schema.read(processed)
        if not (schema.has_oracle and schema.has_impressions):
            raise UndefinedError(
                f"{processed} has no oracle; to compare criteria, the truth is needed"
            )
        task = describe(schema, method_name, method, protocol, where)
        if claim(folder, task, method.missing(schema)):
            for number, point in enumerate(sample(method, protocol, count, seed)):
                chosen = tuple(sorted(point.items()))
                job = Job(processed, method_name, protocol, chosen, seed, final=True)
                jobs[folder / f"candidates/{number:04d}.json"] = job
    with workers(protocol) as executor, tqdm(total=len(jobs), desc=method_name, unit="fit") as bar:
        Queue(executor, bar, train_and_record).collect(jobs)


def train_and_record(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Train each to the last epoch, or until it diverges, and return what was true after each."""
    return [_train_and_record_one(job) for job in jobs]


def _train_and_record_one(job: Job) -> dict[str, Any]:
    method, data = prepare(job, estimates=True)
    hyper = dict(job.hyperparameters)
    record: dict[str, Any] = {"hyperparameters": hyper, "seed": job.seed, "epochs": []}
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
    found = {}
    for metric in metrics:
        try:
            found[metric] = evaluate_one(metric, labels, scores)
        except UndefinedError:
            continue
    return found
