"""One method against all others of a table: wins, ties, losses, effects, cost, what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd

from benchmark import registry
from benchmark.config import Leaderboard
from benchmark.errors import did_you_mean
from benchmark.execution import archive
from benchmark.files import write_text
from benchmark.reporting import records
from benchmark.reporting.contrasts import Gain, Pair, compared, mean_of
from benchmark.reporting.evidence import Evidence
from benchmark.reporting.facts import code_notes
from benchmark.reporting.metric import Array, Metric
from benchmark.reporting.page import environment
from benchmark.reporting.records import DatasetResults, Task
from benchmark.reporting.statistics import Interval
from benchmark.reporting.table import duration
from benchmark.studies import Workspace

FOLDER = "comparisons"
HEAD = ("Against", "Δ", "Verdict", "Effect", "p (Holm)")
READING = (
    "Δ: by how much the method is better than the other one, paired over replicates (above 0: "
    "better), with the interval of a single comparison. Effect: the mean of Δ over its standard "
    "deviation (Cohen's d of paired values). Wins and losses are significant after Holm's "
    "correction for all others; all else is a tie, which is called equivalent where the two differ "
    "significantly by less than the margin of equivalence."
)


@dataclass(frozen=True)
class Duel:
    """The method against another one in a metric; ``effect`` is None without any spread."""

    other: Task
    gain: Gain
    effect: float | None
    style: str

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table says of it, in the order of its head."""
        difference = self.gain.difference
        adjusted = difference.adjusted
        return (
            self.other.title,
            difference.interval.text(self.style),
            self.gain.verdict,
            "–" if self.effect is None else f"{self.effect:+.2f}",
            "–" if adjusted is None else "< 0.001" if adjusted < 0.001 else f"{adjusted:.3f}",
        )


@dataclass(frozen=True)
class Contest:
    """The method against all others in a metric, from the one it is most ahead of."""

    metric: Metric
    own: Interval
    duels: tuple[Duel, ...]

    @property
    def name(self) -> str:
        """The metric and its rows in words."""
        return f"{self.metric.label}, {self.metric.population} {self.metric.measure.arrow}"

    @property
    def counts(self) -> tuple[int, int, int]:
        """Wins, ties and losses."""
        wins = sum(duel.gain.difference.better for duel in self.duels)
        losses = sum(duel.gain.difference.worse for duel in self.duels)
        return wins, len(self.duels) - wins - losses, losses

    @property
    def summary(self) -> str:
        """The value with its interval, and the counts."""
        value = self.own.text(self.metric.measure.style)
        words = zip(self.counts, ("win", "tie", "loss"), ("wins", "ties", "losses"), strict=True)
        return f"{value}; " + ", ".join(f"{n} {one if n == 1 else more}" for n, one, more in words)


@dataclass(frozen=True)
class Matchup:
    """The method of a title in a setting: contests by metric, the headline first, and its costs.

    ``reason`` says why there are none; ``failures`` what went wrong, with the method or others;
    ``notes`` which results are of other code than that of this checkout.
    """

    title: str
    results: DatasetResults
    reason: str | None
    headline: tuple[Contest, ...]
    others: tuple[Contest, ...]
    costs: tuple[tuple[str, str, str], ...]
    failures: tuple[str, ...]
    notes: tuple[str, ...]


def compare(method: str, workspace: Workspace) -> list[Matchup]:
    """Compare the fits of a method on record with those of a leaderboard, in all its settings.

    Published records that are not there are restored.

    Raises:
        FileNotFoundError: nothing is on record, or a setting with runs has no data.
        LookupError: there is no such method, or no fit of it is on record.
        ValueError: a record cannot be read.
    """
    methods = workspace.params.methods
    _restore(workspace)
    recorded = {path.parent.name for path in workspace.runs.glob("*/*/task.json")}
    if method not in (known := sorted({*recorded, *registry.names("methods")})):
        raise LookupError(f"{method!r} is no method; {did_you_mean(method, known)}")
    if method not in methods:
        named = f"methods=[{', '.join((*methods, method))}]"
        workspace = Workspace(workspace.study, (*workspace.changes, named))
    datasets = records.read(workspace)
    tasks = {results.dataset: _own(results, method) for results in datasets}
    if not any(task.provenance for task in tasks.values()):
        study = f" --study {workspace.study}" if workspace.study else ""
        setting = datasets[0].dataset
        raise LookupError(
            f"no fit of {method!r} is on record in {workspace.runs}; compare it in a study that "
            "has it, by --study NAME, or name it in the methods of params.yaml and run "
            f"`python -m benchmark run {setting} {method}{study}`"
        )
    params = workspace.params.leaderboard
    return [_matchup(results, tasks[results.dataset], params) for results in datasets]


def _restore(workspace: Workspace) -> None:
    """Bring published records back if some method of the params has none."""
    known = {path.parent.name for path in workspace.runs.glob("*/*/task.json")}
    if (workspace.results / archive.FILE).is_file() and not known.issuperset(
        workspace.params.methods
    ):
        archive.restore(workspace)


def _own(results: DatasetResults, method: str) -> Task:
    return next(task for task in results.tasks if task.method == method)


def _matchup(results: DatasetResults, own: Task, params: Leaderboard) -> Matchup:
    failures, notes = tuple(_failures(results, own)), code_notes(results)
    if own.excluded is not None:
        return Matchup(own.title, results, own.excluded, (), (), (), failures, notes)
    names = dict.fromkeys((*params.headline, *params.columns))
    contests = [
        contest
        for name in names
        if (contest := _contest(Evidence(Metric.parse(name), results), own, params.confidence))
    ]
    first = tuple(contest for contest in contests if contest.metric.name in params.headline)
    rest = tuple(contest for contest in contests if contest not in first)
    costs = tuple(_costs(results, own))
    return Matchup(own.title, results, None, first, rest, costs, failures, notes)


def _contest(evidence: Evidence, own: Task, confidence: float) -> Contest | None:
    """Test the method against all others as one family; None where it has no such metric."""
    metric, single = evidence.metric, mean_of(evidence, own, confidence)
    if single is None:
        return None
    pairs = (Pair(own, other) for other in evidence.tasks if other is not own)
    style = f"+{metric.measure.style.lstrip('+')}"
    duels = [
        Duel(pair.base, gain, _effect(values), style)
        for pair, values, gain in compared(pairs, evidence, confidence)
    ]
    duels.sort(key=lambda duel: -duel.gain.difference.interval.mean)
    return Contest(metric, single, tuple(duels))


def _effect(gain: Array) -> float | None:
    if len(gain) == 1 or np.ptp(gain) == 0:
        return None
    return float(gain.mean() / gain.std(ddof=1))


def _costs(results: DatasetResults, own: Task) -> Iterator[tuple[str, str, str]]:
    """Yield what the method takes, and the median of the others."""
    others = [task for task in results.reported if task is not own]
    measures: dict[str, tuple[Callable[[Task], float], Callable[[float], str]]] = {
        "Parameters": (lambda task: task.replicates[0].parameters, lambda x: f"{x:,.0f}"),
        "Time of a fit": (lambda task: task.seconds_per_fit, duration),
        "Time with tuning": (lambda task: task.seconds, duration),
        "Epochs": (_epochs, lambda x: f"{x:g}"),
    }
    for name, (measure, text) in measures.items():
        usual = text(median(measure(task) for task in others)) if others else "–"
        yield name, text(measure(own)), usual


def _epochs(task: Task) -> float:
    return median(len(fit.history) for fit in task.replicates)


def _failures(results: DatasetResults, own: Task) -> Iterator[str]:
    if own.excluded is not None:
        yield f"{own.title}: {own.excluded}"
    diverged = [trial.diverged for trial in own.trials if trial.diverged]
    if diverged:
        yield f"{own.title}: {len(diverged)} of {len(own.trials)} trials diverged: {diverged[0]}"
    absent = dict[str, list[str]]()
    for task in results.tasks:
        if task is not own and task.excluded is not None:
            absent.setdefault(task.excluded, []).append(task.title)
    for reason, titles in absent.items():
        yield f"{', '.join(titles)} {'is' if len(titles) == 1 else 'are'} not compared: {reason}"


def plain(matchups: Sequence[Matchup]) -> str:
    """Return the comparison for a terminal, with every duel of the first metric."""
    return "\n\n".join([*map(_section, matchups), fill(READING, 100)])


def _section(matchup: Matchup) -> str:
    results = matchup.results
    lines = [f"{matchup.title} against all others: {results.title} ({results.dataset})"]
    if matchup.reason:
        lines.append(f"No comparison: {matchup.reason}")
    for contest in matchup.headline[:1]:
        lines += ["", f"{contest.name}: {contest.summary}", _aligned(HEAD, _rows(contest)), ""]
    lines += [f"{c.name}: {c.summary}" for c in (*matchup.headline[1:], *matchup.others)]
    if matchup.costs:
        lines += ["", _aligned(("Cost", matchup.title, "Median of others"), matchup.costs)]
    further = [f"- {text}" for text in (*matchup.failures, *matchup.notes)]
    return "\n".join([*lines, *([""] if further else []), *further])


def _rows(contest: Contest) -> list[tuple[str, ...]]:
    return [duel.cells for duel in contest.duels]


def _aligned(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    align = ["left"] + ["right"] * (len(head) - 1)
    frame = pd.DataFrame([list(row) for row in rows], columns=list(head))
    return frame.to_markdown(
        index=False, tablefmt="simple", disable_numparse=True, colalign=align if rows else None
    )


def write(method: str, matchups: Sequence[Matchup], workspace: Workspace) -> Path:
    """Write the comparison as one self-contained page, and return its path."""
    own = [_own(matchup.results, method) for matchup in matchups]
    title = next(task.title for task in own if task.provenance)
    path = workspace.results / FOLDER / f"{method}.html"
    template = environment().get_template("versus.html.j2")
    text = template.render(title=title, matchups=matchups, head=HEAD, reading=READING)
    write_text(path, text)
    return path
