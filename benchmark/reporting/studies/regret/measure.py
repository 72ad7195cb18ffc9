"""What selection costs: how much worse than the best candidate is the one that a criterion chooses.

A candidate is a hyper-parameter setting after some epoch. Criteria see the validation split; the
regret is taken on the truth about the test split.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.config import Protocol
from benchmark.reporting.metric import Metric
from benchmark.reporting.statistics import Interval, interval
from benchmark.sealing import read_sealed, read_whole
from benchmark.studies import Workspace

CRITERION, BOUND, REFERENCE = "criterion", "bound", "reference"
KINDS = (CRITERION, BOUND, REFERENCE)
DEFAULTS = "no selection: defaults, last epoch"
RANDOM = "no selection: mean candidate"
ALL = "all settings"


@dataclass(frozen=True)
class CandidateSet:
    """The candidates of one method in one draw of a setting: a row per candidate and epoch.

    ``criteria`` are computed from observed validation labels, ``bounds`` from the truth about the
    same rows, and ``targets`` from the truth about the test split. Undefined values are NaN.
    """

    setting: str
    criteria: pd.DataFrame
    bounds: pd.DataFrame
    targets: pd.DataFrame


@dataclass(frozen=True)
class Mean:
    """How a criterion did in a setting, over candidate sets.

    ``change`` is its regret less that of the default criterion, paired over candidate sets.
    ``best`` marks the least regret of an observable criterion, and those that are not
    significantly different from it in a paired test.
    """

    target: str
    setting: str
    kind: str
    criterion: str
    candidate_sets: int
    regret: Interval
    change: Interval | None
    correlation: Interval | None
    best: bool


def read(workspace: Workspace) -> list[CandidateSet]:
    """Return the candidate sets of a study.

    Raises:
        FileNotFoundError: one of them is not on record, or is not complete.
        ValueError: one of them is of another protocol, broken or edited.
    """
    params = workspace.params
    count = workspace.section("selection").candidates
    cells = itertools.product(
        params.methods, range(params.replicates), (setting.name for setting in workspace.settings())
    )
    return [
        _candidate_set(
            workspace.runs / setting / method, setting, replicate, params.protocol, count
        )
        for method, replicate, setting in cells
    ]


def _candidate_set(
    folder: Path, setting: str, replicate: int, protocol: Protocol, count: int
) -> CandidateSet:
    names = (f"{replicate}-{number:04d}.json" for number in range(count))
    paths = [path for name in names if (path := folder / "candidates" / name).is_file()]
    again = "run `python -m benchmark run` with the name of the study"
    if len(paths) != count:
        raise FileNotFoundError(f"{folder} holds {len(paths)} of {count} candidates; {again}")
    if read_whole(folder / "task.json")["protocol"] != protocol.of(folder.name).identity:
        raise ValueError(f"{folder} is out of date: its protocol is not the study's; {again}")
    rows = {
        (candidate, epoch): metrics
        for candidate, path in enumerate(paths)
        for epoch, metrics in enumerate(_epochs(path, again))
    }
    index = pd.MultiIndex.from_tuples(rows, names=["candidate", "epoch"])
    criteria, bounds, targets = (
        pd.DataFrame([metrics[kind] for metrics in rows.values()], index)
        for kind in ("criteria", "bounds", "targets")
    )
    return CandidateSet(setting, criteria, bounds, targets)


def _epochs(path: Path, again: str) -> list[dict[str, dict[str, float]]]:
    if (record := read_sealed(path)) is None:
        raise ValueError(f"{path} is not what was written; {again}")
    if (of := record.get("method")) != (method := path.parents[1].name):
        raise ValueError(f"{path} is a record of {of or 'no method'}, not of {method}; {again}")
    epochs: list[dict[str, dict[str, float]]] = record["epochs"]
    return epochs


def outcomes(candidate_sets: Iterable[CandidateSet]) -> pd.DataFrame:
    """Return the regret of each criterion's choice, and its rank correlation with the truth.

    A row per candidate set, target and criterion. The correlation, Spearman's, is over all
    candidates of the set, 1 where a criterion ranks them as the target does.
    """
    rows = [
        {"candidate_set": number, "setting": candidate_set.setting, "target": target, **outcome}
        for number, candidate_set in enumerate(candidate_sets)
        for target in map(str, candidate_set.targets)
        for outcome in _outcomes(candidate_set, target)
    ]
    return pd.DataFrame(rows)


def _outcomes(candidate_set: CandidateSet, target: str) -> Iterator[dict[str, object]]:
    regret = _costs(candidate_set.targets[target])
    regret -= regret.min()
    for kind, frame in ((CRITERION, candidate_set.criteria), (BOUND, candidate_set.bounds)):
        for name in frame.dropna(axis="columns", how="all"):
            costs = _costs(frame[name].dropna())
            selected = regret[costs.idxmin()]
            rho = costs.corr(regret[costs.index], method="spearman")
            yield {"kind": kind, "criterion": name, "regret": selected, "correlation": rho}
    yield {"kind": REFERENCE, "criterion": RANDOM, "regret": regret.mean()}
    if 0 in regret.index:
        yield {"kind": REFERENCE, "criterion": DEFAULTS, "regret": regret.loc[[0]].iloc[-1]}


def _costs(values: pd.Series[float]) -> pd.Series[float]:
    """Return what is lower for better values of the metric that the series is named after."""
    measure = Metric.parse(str(values.name)).measure
    return pd.Series(measure.cost(np.asarray(values, np.float64)), values.index)


def summary(regrets: pd.DataFrame, default: str, confidence: float) -> list[Mean]:
    """Return each criterion's means over candidate sets, by target and setting, the last all."""
    both = pd.concat([regrets, regrets.assign(setting=ALL)])
    parts = both.groupby(["target", "setting"], sort=False)
    return [mean for _, part in parts for mean in _means(part, default, confidence)]


def _means(part: pd.DataFrame, default: str, confidence: float) -> Iterator[Mean]:
    regrets = part.pivot_table("regret", "candidate_set", "criterion", sort=False)
    observable = part[part.kind == CRITERION].criterion.unique()
    least = regrets[regrets[observable].mean().idxmin()]

    def over_sets(values: pd.Series[float]) -> Interval | None:
        known = np.asarray(values.dropna(), np.float64)
        return interval(known, confidence) if len(known) else None

    for name, own in part.groupby("criterion", sort=False):
        regret, beyond = over_sets(own.regret), over_sets(regrets[name] - least)
        assert regret is not None
        yield Mean(
            target=own.target.iloc[0],
            setting=own.setting.iloc[0],
            kind=own.kind.iloc[0],
            criterion=str(name),
            candidate_sets=len(own),
            regret=regret,
            change=over_sets(regrets[name] - regrets[default]),
            correlation=over_sets(own.correlation),
            best=name in observable and beyond is not None and not beyond.excludes_zero,
        )


def table(means: Iterable[Mean]) -> pd.DataFrame:
    """Return one row per mean, intervals as two columns."""
    rows = []
    for mean in means:
        row = vars(mean).copy()
        for name in ("regret", "change", "correlation"):
            estimate = row.pop(name)
            row |= {
                name: estimate and estimate.mean,
                f"{name}_half_width": estimate and estimate.half_width,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def label(criterion: str) -> str:
    """Return the name that readers know a criterion by."""
    if criterion in (DEFAULTS, RANDOM):
        return criterion
    metric = Metric.parse(criterion)
    return f"{metric.label}, {metric.population}"
