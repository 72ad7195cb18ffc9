"""The leaderboard as data: ``leaderboard.json``, from which the page is made, and its schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from scipy import stats

from benchmark.bibliography import keys
from benchmark.config import Params
from benchmark.metrics.directions import HIGHER, LOWER, ZERO
from benchmark.reporting import latex, ranking
from benchmark.reporting.cards import Card
from benchmark.reporting.contrasts import Cell, Gain
from benchmark.reporting.metric import Metric
from benchmark.reporting.ranking import Ranking
from benchmark.reporting.records import Task
from benchmark.reporting.statistics import Interval
from benchmark.reporting.table import Row, Table

BETTER = {HIGHER: "higher", LOWER: "lower", ZERO: "zero"}


class Model(BaseModel):
    """A part of the file; a key without a value is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Estimate(Model):
    """A mean over replicates with its confidence interval, which one replicate does not have."""

    mean: float
    """The mean over replicates."""
    low: float | None = None
    """The lower limit of the interval."""
    high: float | None = None
    """The upper limit of the interval."""
    text: str
    """Mean and interval as tables print them."""


class Difference(Estimate):
    """How much better a method is than another, paired over replicates; above 0 is better."""

    over: str
    """The title of the other method."""
    p: float | None = None
    """The p-value of the two-sided paired t-test."""
    p_holm: float | None = None
    """The same, corrected by Holm for all methods that are compared in this metric."""
    verdict: str
    """What may be said at the level of the table: better, worse, equivalent or undecided."""


class Score(Estimate):
    """A metric of a method with tuned hyper-parameters."""

    best: bool
    """Whether no method is significantly better; never with few positives."""
    few_positives: bool
    """Whether some replicate has fewer than 30 positives."""
    gain: Difference | None = None
    """The difference to the reference method."""
    own: Difference | None = None
    """The difference to the reference of the method's own family."""
    matched: Difference | None = None
    """The difference to the reference with a similar number of parameters."""
    default: Estimate | None = None
    """The same metric with the default hyper-parameters."""
    tuning: Difference | None = None
    """The difference of tuned to default hyper-parameters."""
    values: list[float]
    """The value in each replicate."""
    default_values: list[float] | None = None
    """The value in each replicate with the default hyper-parameters."""


class Trial(Model):
    """A trial of the search."""

    value: float | None = None
    """The selection metric on the validation split, the mean over tuning draws; none: diverged."""
    hyperparameters: dict[str, Any]
    """What was tried."""


class Entry(Model):
    """A method in a setting."""

    method: str
    """Its file name in methods/, without .py."""
    scores: dict[str, Score]
    """By metric; those in which the method is undefined are absent."""
    rank: float | None = None
    """By the mean over replicates of the rank in the first headline metric, 1 the best."""
    rank_low: int | None = None
    """The lower limit of the rank's interval."""
    rank_high: int | None = None
    """The upper limit of the rank's interval."""
    replicates: int
    """How many fits the means are of."""
    parameters: int | None = None
    """The number of trained parameters; none where a method has no such count."""
    seconds: float
    """The training time of all fits, tuning included."""
    seconds_per_fit: float
    """The mean training time of a replicate."""
    diverged: int
    """How many fits of the search diverged."""
    hyperparameters: dict[str, Any]
    """What the search chose."""
    trials: list[Trial]
    """The search in its order; the first trial has the default hyper-parameters."""
    importance: dict[str, float]
    """Rank correlation, without sign, of each hyper-parameter with the value over the trials."""
    curves: list[list[float]]
    """The selection metric on the validation split after each epoch, by replicate."""
    latex: str
    """The row of a table for a paper: the title and the headline metrics."""


class Absent(Model):
    """A method that is not in the table."""

    method: str
    """Its file name in methods/, without .py."""
    reason: str
    """Why it is not."""


class Quantiles(Model):
    """Quantiles of Student's t with one degree of freedom less than there are replicates."""

    single: float
    """Two-sided, of one comparison."""
    every_pair: float
    """Two-sided, corrected by Bonferroni for all pairs of methods."""
    equivalence: float
    """One-sided, as both tests of equivalence take it."""


class Setting(Model):
    """A dataset with its options, on which all methods are compared."""

    name: str
    """The name of the setting."""
    title: str
    """The title of the dataset."""
    verified: bool
    """Whether the raw files are known to be the published ones."""
    claims: str
    """What results on it may and may not show."""
    citation: list[str]
    """Keys of ``references``."""
    facts: dict[str, str]
    """What the numbers rest on."""
    notes: list[str]
    """How to read the numbers, and what they cannot say."""
    headline: list[str]
    """The metrics that methods are sorted by and compared in first."""
    metrics: list[str]
    """The other metrics, in the order of the tables."""
    entries: list[Entry]
    """The methods, from best to worst by the first headline metric."""
    absent: list[Absent]
    """The methods that are not in the table."""
    resampled: bool
    """Whether intervals cover how another test sample would differ, beside the weights."""
    quantiles: Quantiles | None = None
    """What tests of any two methods need; none with one replicate."""


class MetricAbout(Model):
    """What a metric's name stands for."""

    label: str
    """Task and measure, such as CVR AUC."""
    population: str
    """The rows on which it is computed."""
    arrow: str
    """What shows which values are better."""
    better: Literal["higher", "lower", "zero", "one"]
    """Which values are better: higher or lower ones, or those closer to 0, or in ratio to 1."""
    style: str
    """How a value is printed, as Python's format specification."""
    margin: float | None = None
    """The difference below which two methods are equivalent."""


class Method(Model):
    """What a method is, from its file."""

    title: str
    """Its name as its paper spells it."""
    family: str
    """The group of methods to which it belongs."""
    needs: list[str]
    """The stages, or the delay, without which a dataset cannot have it."""
    file: str
    """The file that has it."""
    summary: str
    """What it does, in a sentence of reStructuredText."""
    formulas: list[str]
    """Its loss or prediction, in LaTeX."""
    evidence: str
    """What was read of it."""
    differs: str
    """What differs from its paper."""
    citation: list[str]
    """Keys of ``references``."""


class Rank(Model):
    """The place of a method in a ranking."""

    method: str
    """Its file name in methods/, without .py."""
    mean: float
    """The mean of its ranks within the blocks, 1 the best."""
    rank: float
    """Its rank by that mean."""
    low: int
    """The lower limit of the rank's interval."""
    high: int
    """The upper limit of the rank's interval."""
    time: float
    """The time of a fit relative to that of ``unit``, a geometric mean over settings."""


class Ranked(Model):
    """The methods that every setting has, ranked over all replicates of all settings (blocks)."""

    metric: str
    """The metric that ranks them."""
    settings: int
    """How many settings have it."""
    blocks: int
    """How many replicates of settings are ranked."""
    p: float
    """The p-value of Friedman's test that all methods rank alike."""
    critical_difference: float
    """By how much two mean ranks must differ to be significantly different (Nemenyi)."""
    about: str
    """The same in words."""
    unit: str
    """The title of the method that times are relative to."""
    ranks: list[Rank]
    """The methods, from the best mean rank to the worst."""


class Published(Model):
    """The results of the benchmark, or of one of its studies."""

    title: str
    """The title of the page."""
    version: str
    """The version of the benchmark."""
    study: str | None = None
    """The study, by its folder in studies/; none: the benchmark's own table."""
    confidence: float
    """The level of all intervals; tests are at one minus it."""
    reference: str | None = None
    """The method that all others are compared with."""
    metrics: dict[str, MetricAbout]
    """By the names that ``scores`` use."""
    methods: dict[str, Method]
    """By file name in methods/, without .py."""
    settings: list[Setting]
    """What the methods are compared on."""
    rankings: list[Ranked]
    """The methods ranked over all settings, by each headline metric that allows it."""
    references: dict[str, str]
    """BibTeX entries by key."""
    citation: str
    """The BibTeX entry of the benchmark."""

    def text(self, *, short: bool = False) -> str:
        """Return it as JSON, without keys that have no value, the same for the same results.

        The short one, for the page, lacks the replicates with default hyper-parameters.
        """
        content = self.model_dump(mode="json", exclude_none=True)
        if short:
            entries = (entry for setting in content["settings"] for entry in setting["entries"])
            for score in (score for entry in entries for score in entry["scores"].values()):
                score.pop("default_values", None)
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"

    def headlines(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return the means of the headline metrics by setting and method, as DVC compares them."""
        return {
            setting.name: {
                entry.method: {
                    name: entry.scores[name].mean
                    for name in setting.headline
                    if name in entry.scores
                }
                for entry in setting.entries
            }
            for setting in self.settings
        }

    def bars(self) -> str:
        """Return the mean of the first headline metric by setting and method, as DVC plots it."""
        rows = [
            f"{setting},{method},{metric},{value}"
            for setting, methods in self.headlines().items()
            for method, values in methods.items()
            for metric, value in [*values.items()][:1]
        ]
        return "\n".join(["setting,method,metric,value", *rows]) + "\n"


def schema() -> str:
    """Return the JSON schema of the file."""
    return json.dumps(Published.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def publish(
    tables: Sequence[Table],
    rankings: Sequence[Ranking],
    params: Params,
    cards: Mapping[str, Card],
    references: Mapping[str, str],
    **about: Any,
) -> Published:
    """Return the results of all settings; ``about`` are the title, version, study and citation."""
    metrics = {m.name: m for table in tables for m in (*table.headline, *table.metrics)}
    tasks = {task.method: task for table in tables for task in table.results.tasks}
    return Published(
        confidence=params.leaderboard.confidence,
        reference=params.leaderboard.reference,
        metrics={name: _metric(metric) for name, metric in metrics.items()},
        methods={name: _method(task, cards.get(name)) for name, task in sorted(tasks.items())},
        settings=[_setting(table, params) for table in tables],
        rankings=[_ranked(one) for one in rankings],
        references=dict(references),
        **about,
    )


def _ranked(ranked: Ranking) -> Ranked:
    places = ranked.places
    columns = ranked.methods, ranked.means, places.rank, places.low, places.high, ranked.times
    return Ranked(
        metric=ranked.metric.name,
        settings=ranked.settings,
        blocks=ranked.blocks.shape[1],
        p=_short(ranked.p_value, 3),
        critical_difference=_short(ranked.difference, 4),
        about=ranking.sentence(ranked),
        unit=ranked.unit,
        ranks=[
            Rank(
                method=name, mean=_short(mean, 4), rank=rank, low=low, high=high, time=_short(t, 3)
            )
            for name, mean, rank, low, high, t in zip(*columns, strict=True)
        ],
    )


def _metric(metric: Metric) -> MetricAbout:
    measure = metric.measure
    return MetricAbout(
        label=metric.label,
        population=metric.population,
        arrow=measure.arrow,
        better=BETTER.get(measure.direction, "one"),  # type: ignore[arg-type]
        style=measure.style,
        margin=metric.margin,
    )


def _method(task: Task, card: Card | None) -> Method:
    known = Card() if card is None else card
    return Method(
        title=task.title,
        citation=keys(task.provenance.citation) if task.provenance else [],
        **vars(known),
    )


def _setting(table: Table, params: Params) -> Setting:
    results, schema = table.results, table.results.schema
    shown = dict.fromkeys((*table.headline, *table.metrics))
    return Setting(
        name=results.dataset,
        title=results.title,
        verified=not table.unverified,
        claims=" ".join(schema.claims.split()) if schema else "",
        citation=keys(schema.citation) if schema else [],
        facts=table.facts,
        notes=list(table.notes),
        headline=[metric.name for metric in table.headline],
        metrics=[metric.name for metric in shown if metric not in table.headline],
        entries=[_entry(table, row) for row in table.rows],
        absent=[Absent(method=x.method, reason=x.excluded or "") for x in table.excluded],
        resampled=results.resampling is not None,
        quantiles=_quantiles(table, params.leaderboard.confidence),
    )


def _quantiles(table: Table, confidence: float) -> Quantiles | None:
    replicates = len(table.rows[0].task.replicates) if table.rows else 1
    if replicates == 1:
        return None
    methods = len(table.rows)
    pairs = max(1, methods * (methods - 1) // 2)
    freedom, alpha = replicates - 1, 1 - confidence
    return Quantiles(
        single=_short(stats.t.isf(alpha / 2, freedom)),
        every_pair=_short(stats.t.isf(alpha / 2 / pairs, freedom)),
        equivalence=_short(stats.t.isf(alpha, freedom)),
    )


def _entry(table: Table, row: Row) -> Entry:
    task = row.task
    rank, low, high = table.lead.ranks.get(task.method, (None,) * 3) if table.lead else (None,) * 3
    trials = [
        Trial(value=_short(trial.value), hyperparameters=_shortened(trial.hyperparameters))
        for trial in task.trials
    ]
    return Entry(
        method=task.method,
        scores={m.name: _score(task, m, cell) for m, cell in row.cells.items() if cell},
        rank=rank,
        rank_low=low,
        rank_high=high,
        replicates=len(task.replicates),
        parameters=task.replicates[0].parameters or None,
        seconds=_short(task.seconds),
        seconds_per_fit=_short(task.seconds_per_fit),
        diverged=sum(trial.diverged is not None for trial in task.trials),
        hyperparameters=_shortened(task.replicates[0].hyperparameters),
        trials=trials,
        importance=_importance(trials),
        curves=[[_short(value, 4) for value in fit.history] for fit in task.replicates],
        latex=latex.row(row, table.headline),
    )


def _score(task: Task, metric: Metric, cell: Cell) -> Score:
    defaults = task.default_values(metric.name) if cell.default else None
    return Score(
        **_estimate(cell.interval, cell.text()),
        best=cell.best,
        few_positives=cell.few,
        gain=_difference(cell.gain, cell.style),
        own=_difference(cell.own, cell.style),
        matched=_difference(cell.matched, cell.style),
        tuning=_difference(cell.tuning, cell.style),
        default=_default(cell),
        values=[_short(value) for value in cell.values],
        default_values=None if defaults is None else [_short(value) for value in defaults],
    )


def _default(cell: Cell) -> Estimate | None:
    interval = cell.default
    return None if interval is None else Estimate(**_estimate(interval, interval.text(cell.style)))


def _difference(gain: Gain | None, style: str) -> Difference | None:
    if gain is None:
        return None
    difference = gain.difference
    text = difference.interval.text(f"+{style.lstrip('+')}")
    return Difference(
        **_estimate(difference.interval, text),
        over=gain.over,
        p=_short(difference.p_value, 3),
        p_holm=_short(difference.adjusted, 3),
        verdict=gain.verdict,
    )


def _estimate(interval: Interval, text: str) -> dict[str, Any]:
    sure = interval.half_width is not None
    return {
        "mean": _short(interval.mean),
        "low": _short(interval.low) if sure else None,
        "high": _short(interval.high) if sure else None,
        "text": text,
    }


def _importance(trials: Sequence[Trial]) -> dict[str, float]:
    """Return nothing for fewer than ten trials, of which a correlation says little."""
    done = [(x.value, x.hyperparameters) for x in trials if x.value is not None]
    if len(done) < 10:
        return {}
    values = [value for value, _ in done]
    names = [name for name, value in done[0][1].items() if _is_number(value)]
    columns = {name: [tried[name] for _, tried in done] for name in names}
    varied = {name: column for name, column in columns.items() if len(set(column)) > 1}
    if len(set(values)) == 1:
        return {}
    correlations = {name: stats.spearmanr(x, values).statistic for name, x in varied.items()}
    return {name: _short(abs(float(rho)), 3) for name, rho in correlations.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shortened(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _short(value, 4) if isinstance(value, float) else value
        for name, value in sorted(values.items())
    }


def _short(value: Any, digits: int = 6) -> Any:
    """Return a number as it is printed with so many digits: files stay small and the same."""
    return None if value is None else float(f"{float(value):.{digits}g}")
