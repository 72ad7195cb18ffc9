"""Optuna by batch-synchronous ask and tell: the same study on one worker or forty, or resumed.

A sampler seeded by the number of a batch draws its trials from the declared distributions, and
their values are reported in the order of the trials. Replaying finished trials therefore draws the
very same trials again, which is how a killed study resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState

from benchmark.config import Protocol, Range
from benchmark.metrics.criteria import is_maximised
from benchmark.training.method import Method
from benchmark.training.trainer import DivergedError

Evaluate = Callable[[int, Sequence[dict[str, Any]]], list[float | None]]


def search_space(method: type[Method], protocol: Protocol) -> dict[str, BaseDistribution]:
    """Return what is tuned: the optimiser's ranges, the same for all, and the method's own."""
    shared: dict[str, BaseDistribution] = {
        "learning_rate": _log_uniform(protocol.learning_rate),
        "weight_decay": _log_uniform(protocol.weight_decay),
    }
    return shared | dict(method.search_space)


def _log_uniform(bounds: Range) -> FloatDistribution:
    return FloatDistribution(bounds.low, bounds.high, log=True)


def defaults(method: type[Method], protocol: Protocol) -> dict[str, Any]:
    """Return the first trial: the protocol's defaults, and the method's for what it leaves open."""
    own = dict(method.defaults) | protocol.defaults
    return {
        "learning_rate": protocol.learning_rate.default,
        "weight_decay": protocol.weight_decay.default,
        **{name: own[name] for name in method.search_space},
    }


def sample(method: type[Method], protocol: Protocol, count: int, seed: int) -> list[dict[str, Any]]:
    """Return the defaults, then points drawn at random from the search space."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = search_space(method, protocol)
    study = optuna.create_study(sampler=RandomSampler(seed))
    study.enqueue_trial(defaults(method, protocol))
    return [study.ask(space).params for _ in range(count)]


def tune(
    method: type[Method], protocol: Protocol, evaluate: Evaluate, own_seed: int = 0
) -> dict[str, Any]:
    """Return the best hyper-parameters found within the budget, the defaults where there is none.

    ``evaluate`` gets the number of a batch's first trial and the batch's hyper-parameters, and
    returns their values, None for a trial that diverged. ``own_seed`` gives a method random
    candidates of its own, so that the luck of one point is not shared by all methods.

    Raises:
        DivergedError: every trial diverged.
    """
    if not protocol.tuning.trials:
        return defaults(method, protocol)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = search_space(method, protocol)
    maximised = is_maximised(protocol.selection_metric)
    study = optuna.create_study(direction="maximize" if maximised else "minimize")
    study.enqueue_trial(defaults(method, protocol))
    budget = protocol.tuning
    for start in range(0, budget.trials, budget.batch):
        study.sampler = _sampler(budget.seed + own_seed + start, budget.batch)
        size = min(budget.batch, budget.trials - start)
        trials = [study.ask(space) for _ in range(size)]
        values = evaluate(start, [trial.params for trial in trials])
        for trial, value in zip(trials, values, strict=True):
            study.tell(trial, value, TrialState.FAIL if value is None else TrialState.COMPLETE)
    if not study.get_trials(states=[TrialState.COMPLETE]):
        raise DivergedError(f"all {budget.trials} trials of {method.name} diverged")
    return study.best_params


def _sampler(seed: int, startup: int) -> TPESampler:
    """Every choice that Optuna may change between versions is written out."""
    return TPESampler(
        n_startup_trials=startup,
        n_ei_candidates=24,
        seed=seed,
        multivariate=True,
        group=False,
        constant_liar=True,
    )
