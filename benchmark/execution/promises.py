"""What a method's file returns, where its fit failed, trained nothing or predicts no probability.

The trainer does not check it: that would wait for the device in each step. No number depends on
this module, hence it is no part of a fit's key.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from benchmark import registry
from benchmark.declarations import method_of
from benchmark.errors import BenchmarkError, sentence
from benchmark.execution.fitting import UNCHANGED, Job, prepare
from benchmark.execution.predictions import ROUNDING
from benchmark.metrics.criteria import ESTIMATED
from benchmark.metrics.populations import Scores
from benchmark.registry import PluginError
from benchmark.training.batch import Batch, Prediction, Probability
from benchmark.training.delays.replay import arrange
from benchmark.training.delays.schedule import Schedule
from benchmark.training.method import Method, Phase, Update
from benchmark.training.trainer import Data, batches

Function = Callable[..., Any]


class _BrokenError(Exception):
    """A function of the method returned something else than it must, or failed with an ``error``.

    What fails in a probe need not be what failed in the training, unless the error is the same.
    """

    def __init__(self, function: Function, what: str, error: Exception | None = None) -> None:
        super().__init__(what)
        self.function, self.what, self.error = function, what, error


@contextmanager
def explained(job: Job) -> Iterator[None]:
    """Add to an error which of the method's functions returned something else than it must.

    Raises:
        PluginError: one did; the error of the block otherwise.
    """
    try:
        yield
    except BenchmarkError:
        raise
    except UNCHANGED as error:
        _add_line(job, error)
        raise
    except Exception as error:
        if (broken := _broken(job, error)) is None:
            raise
        seen = "" if str(error) in broken else f" ({sentence(error)})"
        raise PluginError(broken + seen) from error


def _add_line(job: Job, error: BaseException) -> None:
    """Note the line of the method's file with an error that comes from it, but is none of it."""
    try:
        with registry.located("methods", job.method):
            raise error
    except PluginError as told:
        error.add_note(str(told))
    except type(error):
        return


def check_records(job: Job, records: Iterable[Mapping[str, Any]]) -> None:
    """Make sure that models were trained, and that their test predictions are probabilities.

    Raises:
        PluginError: one was not, or one is not.
    """
    for record in records:
        work = record.get("sample_gradients", 1)
        if type(work) is not int or work < 1:
            _check_work(job, work)
        if (scores := record.get("scores")) is not None:
            _check_scores(job, scores)


def _check_work(job: Job, work: Any) -> None:
    """Refuse work that is no number, and none of a method that takes steps."""
    kind = method_of(job.method)
    if kind.fit is None:
        raise PluginError(f"{_place(job, kind.updates)}: updates yielded no step: nothing learned")
    if type(work) is not int:
        place = _place(job, kind.fit)
        raise PluginError(f"{place}: fit returned work of {work!r} in all; it must {FIT}")


def _check_scores(job: Job, scores: Scores) -> None:
    for name, values in vars(scores).items():
        if values is not None and (beyond := (values < 0) | (values > 1 + ROUNDING)).any():
            row = int(beyond.argmax())
            forward = method_of(job.method).forward
            raise PluginError(
                f"{_place(job, forward)}: the {name.upper()} of row {row} of the test split "
                f"is {values[row]:.4g}, no probability; make it by Probability.from_logit, or so "
                "that log and log_not are not above 0"
            )


FIT = "return its work, a whole number"


def _broken(job: Job, error: Exception) -> str | None:
    """Return in a sentence what a function of the method returns and must not, None if none does.

    They are asked in the order of a training, but for one batch and without a step. Where that
    leads nowhere, the error itself is told.
    """
    method, data = prepare(job, estimates=job.protocol.selection_metric in ESTIMATED)
    try:
        faults = (_fault(check, error) for check in _checks(method, data, job))
        fault = next(filter(None, faults), None)
    except BenchmarkError:
        raise
    except Exception:  # noqa: BLE001 (of a method that does what nobody thought of)
        return None
    if fault is None:
        return None
    name = getattr(fault.function, "__name__", "a function")
    return f"{_place(job, fault.function)}: {name} {fault.what}"


def _fault(check: Callable[[], object], error: Exception) -> _BrokenError | None:
    try:
        check()
    except _BrokenError as broken:
        return broken if broken.error is None or str(broken.error) == str(error) else None
    return None


def _checks(method: Method, data: Data, job: Job) -> Iterator[Callable[[], object]]:
    def batch(schedule: Schedule | None) -> Batch:
        table = arrange(data.train, schedule)
        return next(batches(table, min(job.protocol.batch_size, len(table)), job.seed, 0))

    yield partial(_check_schedule, method)
    yield partial(_answer, method.start_epoch)
    if method.fit is not None:
        yield partial(_check_fit, method, data, job)
    first = batch(method.schedule())
    for training in (True, False):
        yield partial(_check_prediction, method.train(training), first)
    method.train()
    if method.fit is None:
        yield partial(_check_phases, method)
        for phase in method.warm_up():
            yield partial(_check_step, method, phase.updates, batch(phase.schedule))
        yield partial(_check_step, method, method.updates, first)


def _check_schedule(method: Method) -> None:
    schedule = _answer(method.schedule)
    if schedule is not None and not callable(schedule):
        raise _BrokenError(method.schedule, _unlike(schedule, "a function of clicks, or None"))


def _check_fit(method: Method, data: Data, job: Job) -> None:
    assert method.fit is not None
    if type(work := _answer(method.fit, data.train.whole(), job.seed)) is not int:
        raise _BrokenError(method.fit, f"returned {work!r}; it must {FIT}")


def _check_prediction(method: Method, batch: Batch) -> None:
    rows = len(batch.conversion)
    prediction = _answer(method.forward, batch.features)
    if not isinstance(prediction, Prediction):
        raise _BrokenError(method.forward, _unlike(prediction, "a Prediction"))
    for name in ("cvr", "ctr"):
        value = getattr(prediction, name)
        if value is None and name == "ctr":
            continue
        if not isinstance(value, Probability):
            raise _BrokenError(method.forward, _unlike(value, f"a Probability as {name}"))
        if (shape := tuple(value.log.shape)) != (rows,):
            what = f"returned a {name} of shape {shape}; it must be ({rows},)"
            raise _BrokenError(method.forward, what)


def _check_phases(method: Method) -> None:
    phases = _answer(method.warm_up)
    if not isinstance(phases, Sequence):
        raise _BrokenError(method.warm_up, _unlike(phases, "a list of Phases"))
    for phase in phases:
        if not isinstance(phase, Phase):
            raise _BrokenError(method.warm_up, _unlike(phase, "a Phase in its list"))
        if type(phase.epochs) is not int or phase.epochs < 0:
            what = f"returned a Phase of {phase.epochs!r} epochs; it must be a whole number"
            raise _BrokenError(method.warm_up, what)
        if not callable(phase.updates):
            raise _BrokenError(method.warm_up, _unlike(phase.updates, "a function as updates"))


def _check_step(method: Method, updates: Function, batch: Batch) -> None:
    """Look at the first step alone: others are computed when it was taken."""
    if updates == method.updates and type(method).updates is Method.updates:
        loss = _answer(method.loss, batch)
        if (what := _unfit(loss)) is not None:
            raise _BrokenError(method.loss, f"returned {what}")
        return
    steps = _answer(updates, batch)
    if not hasattr(steps, "__iter__"):
        raise _BrokenError(updates, _unlike(steps, "Updates, one after the other"))
    update = _answer(next, iter(steps), None, blamed=updates)
    if update is None:
        return
    if not isinstance(update, Update):
        what = f"yielded {_described(update)}; it must yield an Update"
        raise _BrokenError(updates, what)
    if not isinstance(update.module, nn.Module) or not list(update.module.parameters()):
        what = f"yielded an Update of {_described(update.module)}; it must be of a module to train"
        raise _BrokenError(updates, what)
    if (what_of := _unfit(update.loss)) is not None:
        raise _BrokenError(updates, f"yielded an Update whose loss is {what_of}")


def _answer(function: Function, *arguments: Any, blamed: Function | None = None) -> Any:
    """Return what a function of the method returns."""
    try:
        return function(*arguments)
    except (BenchmarkError, *UNCHANGED):
        raise
    except Exception as error:
        what = f"fails: {type(error).__name__}: {' '.join(str(error).split())}"
        raise _BrokenError(blamed or function, what, error) from error


def _unfit(loss: object) -> str | None:
    """Return what a loss is, and what it must be, unless a gradient can be taken of it."""
    must = "; it must be a tensor of one number that has a gradient"
    if not isinstance(loss, Tensor):
        return _described(loss) + must
    if loss.numel() != 1:
        return f"a tensor of shape {tuple(loss.shape)}{must}"
    return None if loss.requires_grad else f"a tensor without gradient{must}"


def _unlike(value: object, must: str) -> str:
    return f"returned {_described(value)}; it must return {must}"


def _described(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"


def _place(job: Job, function: Function) -> str:
    """Return the file of the method, and the line of the function if it is written there."""
    path = registry.path_of("methods", job.method)
    code = getattr(inspect.unwrap(function), "__code__", None)
    line = f", line {code.co_firstlineno}" if code and code.co_filename == str(path) else ""
    return f"{registry.shown(path)}{line}"
