"""Finished searches as Optuna studies in one storage, for optuna-dashboard and own analyses."""

from __future__ import annotations

import warnings
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmark.declarations import method_of
from benchmark.metrics.criteria import is_maximised
from benchmark.reporting.records import Trial, read
from benchmark.studies import Workspace
from benchmark.training.search import search_space

FILE = "searches.db"


def export(workspace: Workspace) -> tuple[Path, int]:
    """Write the search of every method in every setting; return the file and how many there are.

    Raises:
        FileNotFoundError: nothing is on record.
        LookupError: no search is on record, or a method's file is not here.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    target = workspace.runs / FILE
    target.unlink(missing_ok=True)
    count = 0
    for setting, results in zip(workspace.settings(), read(workspace), strict=True):
        protocol = workspace.params_of(setting).protocol
        maximised = is_maximised(protocol.selection_metric)
        for task in (task for task in results.tasks if task.trials):
            space = search_space(method_of(task.method), protocol)
            study = optuna.create_study(
                storage=address(target),
                study_name=f"{task.method} on {results.dataset}",
                direction="maximize" if maximised else "minimize",
            )
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                study.set_metric_names([protocol.selection_metric])
            study.add_trials([_trial(trial, space) for trial in task.trials])
            count += 1
    if not count:
        raise LookupError(f"no search is on record in {workspace.runs}: nothing was tuned there")
    return target, count


def address(path: Path) -> str:
    """Return the URL by which Optuna finds a storage."""
    return f"sqlite:///{path}"


def _trial(trial: Trial, space: dict[str, BaseDistribution]) -> FrozenTrial:
    """Return a trial with the mean of its fits, or as failed if one diverged."""
    return create_trial(
        params=trial.hyperparameters,
        distributions={name: space[name] for name in trial.hyperparameters},
        value=trial.value,
        state=TrialState.FAIL if trial.value is None else TrialState.COMPLETE,
        user_attrs={"seconds": sum(fit.seconds for fit in trial.fits)},
    )
