"""What selection costs: how much worse than the best candidate is the one that a criterion chooses.

A candidate is a hyper-parameter setting after some epoch. Criteria see the validation split; the
regret is taken on the truth about the test split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from scipy.stats import spearmanr

from benchmark.files import read_json
from benchmark.reporting.metric import Interval, Metric, indistinguishable, interval

CRITERION, BOUND, REFERENCE = "criterion", "bound", "reference"
DEFAULTS, RANDOM = "none: the defaults, last epoch", "none: a random candidate"
ALL = "all worlds"


@dataclass(frozen=True)
class Pool:
    """The candidates of one method in one draw of a world: a row per candidate and epoch.

    ``criteria`` are what a log tells, ``bounds`` what the truth about the same validation rows
    would, ``targets`` what is true of the test split. Undefined values are NaN.
    """

    world: str
    criteria: pd.DataFrame
    bounds: pd.DataFrame
    targets: pd.DataFrame


def read(
    runs: Path, methods: Iterable[str], draws: Iterable[int], worlds: Iterable[str]
) -> list[Pool]:
    """Return the pools of a study.

    Raises:
        FileNotFoundError: one of them is not on record.
    """
    draws, worlds = list(draws), list(worlds)
    return [
        _pool(runs / method / str(draw) / world, world)
        for method in methods
        for draw in draws
        for world in worlds
    ]


def _pool(folder: Path, world: str) -> Pool:
    records = [read_json(path)["epochs"] for path in sorted(folder.glob("candidates/*.json"))]
    rows = {
        (candidate, epoch): found
        for candidate, epochs in enumerate(records)
        for epoch, found in enumerate(epochs)
    }
    if not rows:
        raise FileNotFoundError(
            f"{folder} holds no candidates; run `python -m benchmark candidates METHOD` with the "
            "name of the study first"
        )
    criteria, bounds, targets = (
        pd.DataFrame([found[kind] for found in rows.values()], pd.MultiIndex.from_tuples(rows))
        for kind in ("criteria", "bounds", "targets")
    )
    return Pool(world, criteria, bounds, targets)


def outcomes(pools: Iterable[Pool]) -> pd.DataFrame:
    """Return the regret of each criterion's choice, and its rank correlation with the truth.

    A row per pool, target and criterion. The correlation, Spearman's, is over all candidates of
    the pool, 1 where a criterion ranks them as the target does.
    """
    rows = [
        {"pool": number, "world": pool.world, "target": target, **found}
        for number, pool in enumerate(pools)
        for target in pool.targets
        for found in _outcomes(pool, target)
    ]
    return pd.DataFrame(rows)


def _outcomes(pool: Pool, target: str) -> Iterator[dict[str, object]]:
    regret = _costs(pool.targets[target])
    regret -= regret.min()
    for kind, frame in ((CRITERION, pool.criteria), (BOUND, pool.bounds)):
        for name in frame:
            asked = _costs(frame[name].dropna())
            rho = spearmanr(asked, regret[asked.index]).statistic
            chosen = regret[asked.idxmin()]
            yield {"kind": kind, "criterion": name, "regret": chosen, "correlation": rho}
    yield {"kind": REFERENCE, "criterion": RANDOM, "regret": regret.mean()}
    if 0 in regret.index:
        yield {"kind": REFERENCE, "criterion": DEFAULTS, "regret": regret[0].iloc[-1]}


def _costs(values: pd.Series[float]) -> pd.Series[float]:
    """Return what is lower for better values of the metric that the series is named after."""
    measure = Metric.parse(str(values.name)).measure
    return pd.Series(measure.cost(values.to_numpy()), values.index)


def summary(found: pd.DataFrame, default: str, confidence: float) -> pd.DataFrame:
    """Return the means over pools with their intervals: a row per target, world and criterion.

    ``change`` is the regret less that of the default criterion, paired over pools. ``best`` marks
    the least regret among criteria that a log can answer, and those that a paired test does not
    tell from it. The last world is all of them.
    """
    both = pd.concat([found, found.assign(world=ALL)])
    parts = both.groupby(["target", "world"], sort=False)
    return pd.concat([_summary(part, default, confidence) for _, part in parts], ignore_index=True)


def _summary(part: pd.DataFrame, default: str, confidence: float) -> pd.DataFrame:
    regrets = part.pivot_table("regret", "pool", "criterion", sort=False)
    asked = part[part.kind == CRITERION].criterion.unique()
    least = regrets[asked].mean().idxmin()
    rows = []
    for criterion, own in part.groupby("criterion", sort=False):
        beyond = (regrets[criterion] - regrets[least]).dropna().to_numpy()
        rows.append(
            own[["target", "world", "kind", "criterion"]].iloc[0].to_dict()
            | {"pools": len(own)}
            | _mean("regret", own.regret, confidence)
            | _mean("change", regrets[criterion] - regrets[default], confidence)
            | _mean("correlation", own.correlation, confidence)
            | {"best": criterion in asked and indistinguishable(beyond, 0 * beyond, confidence)}
        )
    return pd.DataFrame(rows)


def _mean(name: str, values: pd.Series[float], confidence: float) -> dict[str, float | None]:
    known = values.dropna().to_numpy()
    found = interval(known, confidence) if len(known) else Interval(float("nan"), None)
    return {name: found.mean, f"{name}_half_width": found.half_width}


def label(criterion: str) -> str:
    """Return the name that readers know a criterion by."""
    if criterion in (DEFAULTS, RANDOM):
        return criterion
    metric = Metric.parse(criterion)
    return f"{metric.label}, {metric.population}"
