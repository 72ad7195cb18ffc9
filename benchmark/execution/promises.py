"""What a method's file returns, where its fit failed or predicted what is no probability.

The trainer does not check it: that would wait for the device in each step. No number depends on
this module, hence it is no part of a fit's key.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from torch import Tensor

from benchmark import registry
from benchmark.declarations import method_of
from benchmark.errors import BenchmarkError
from benchmark.execution.fitting import UNCHANGED, Job, prepare
from benchmark.metrics.populations import Scores
from benchmark.registry import PluginError
from benchmark.training.batch import Batch, Prediction, Probability
from benchmark.training.delays.replay import arrange
from benchmark.training.method import Method, Update
from benchmark.training.trainer import batches

ROUNDING = 1e-6  # of a probability in single precision, which may lie so far above 1


@contextmanager
def explained(job: Job) -> Iterator[None]:
    """Say which of the method's functions returned something else than it must, if one did.

    Raises:
        PluginError: one did; the error of the block otherwise.
    """
    try:
        yield
    except (BenchmarkError, *UNCHANGED):
        raise
    except Exception as error:
        if (broken := _broken(job)) is None:
            raise
        raise PluginError(broken) from error


def check_scores(job: Job, record: Mapping[str, Any]) -> None:
    """Make sure that the test predictions of a record are probabilities.

    Raises:
        PluginError: one is not.
    """
    scores: Scores | None = record.get("scores")
    for name, values in () if scores is None else vars(scores).items():
        if values is not None and (beyond := (values < 0) | (values > 1 + ROUNDING)).any():
            row = int(beyond.argmax())
            kind = method_of(job.method)
            raise PluginError(
                f"{_place(job, kind.forward)}: the {name.upper()} of row {row} of the test split "
                f"is {values[row]:.4g}, no probability; make it by Probability.from_logit, or so "
                "that log and log_not are not above 0"
            )


def _broken(job: Job) -> str | None:
    """Return in a sentence what is wrong with what the method returns for a batch, None if nothing.

    Errors of its file are not looked at: they have their line.
    """
    with suppress(Exception):
        method, data = prepare(job, estimates=False)
        table = arrange(data.train, method.schedule())
        batch = next(batches(table, min(job.protocol.batch_size, len(table)), job.seed, 0))
        method.train()
        method.start_epoch()
        for function, what in _faults(method, batch):
            return f"{_place(job, function)}: {function.__name__} {what}"
    return None


def _faults(method: Method, batch: Batch) -> Iterator[tuple[Any, str]]:
    """Yield functions of the method, and what is wrong with what they return."""
    rows = len(batch.conversion)
    prediction = method(batch.features)
    if not isinstance(prediction, Prediction):
        yield method.forward, f"returned {_described(prediction)}; it must return a Prediction"
        return
    for name, value in vars(prediction).items():
        if isinstance(value, Probability) and value.log.shape != (rows,):
            shape = tuple(value.log.shape)
            yield method.forward, f"returned a {name} of shape {shape}; it must be ({rows},)"
    if method.fit is None:
        yield from _faults_of_steps(method, batch)


def _faults_of_steps(method: Method, batch: Batch) -> Iterator[tuple[Any, str]]:
    if type(method).updates is Method.updates and (what := _unfit(method.loss(batch))) is not None:
        yield method.loss, f"returned {what}"
        return
    for updates in (*(phase.updates for phase in method.warm_up()), method.updates):
        for update in updates(batch):
            if not isinstance(update, Update):
                yield updates, f"yielded {_described(update)}; it must yield an Update"
            elif (what := _unfit(update.loss)) is not None:
                yield updates, f"yielded an Update whose loss is {what}"


def _unfit(loss: object) -> str | None:
    """Return what a loss is, and what it must be, unless a gradient can be taken of it."""
    must = "; it must be a tensor of one number that has a gradient"
    if not isinstance(loss, Tensor):
        return _described(loss) + must
    if loss.numel() != 1:
        return f"a tensor of shape {tuple(loss.shape)}{must}"
    return None if loss.requires_grad else f"a tensor without gradient{must}"


def _described(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _place(job: Job, function: Any) -> str:
    """Return the file of the method, and the line of the function if it is written there."""
    path = registry.path_of("methods", job.method)
    code = getattr(inspect.unwrap(function), "__code__", None)
    line = f", line {code.co_firstlineno}" if code and code.co_filename == str(path) else ""
    return f"{registry.shown(path)}{line}"
