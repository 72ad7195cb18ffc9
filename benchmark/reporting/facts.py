"""What stands around a table: the conditions of the comparison and how to read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmark import registry
from benchmark.config import Params, Pretraining, Protocol
from benchmark.documentation.cards import CARDS
from benchmark.documentation.cards.records import CardError, Overlap, read
from benchmark.execution.code import code_of
from benchmark.metrics.directions import HIGHER
from benchmark.reporting.influence import influence
from benchmark.reporting.metric import Metric
from benchmark.reporting.records import DatasetResults, Task
from benchmark.reporting.resampling import DRAWS
from benchmark.schema import SPLITS, Schema, funnel

FLOOR = 0.05  # of propensities, as most methods that weight by them have it by default

LATE = (
    "Methods that need delay learn from labels as known while training; all others are given "
    "final labels, which exist one attribution window after it: they compete on unequal terms."
)

DRAWN = (
    "A replicate is a fresh draw of the data and of the initial weights, with the same data for "
    "all methods: it shows the spread of both, not that of tuning."
)
TRAINED = (
    "A replicate is a fresh draw of the initial weights on the same data: it shows the spread of "
    "training, not that of tuning or of the data."
)
RESAMPLED = (
    "A replicate is a fresh draw of the initial weights on the same data; {draws:,} bootstrap "
    "draws of the {units:,} test {unit}, the same for all methods and to first order in the weight "
    "of each, add how another test sample would differ. Intervals and tests cover both, not the "
    "spread of tuning or of the training data."
)


def facts(results: DatasetResults, params: Params) -> dict[str, str]:
    """Return what the numbers rest on; values apart by "/" differ between methods."""
    if results.schema is None:
        return {}
    protocol, schema = params.protocol, results.schema
    backbone = protocol.backbone
    origins = [task.provenance for task in results.tasks if task.provenance]
    return {
        "Rows are": "impressions" if schema.has_impressions else "clicks only",
        "Funnel": funnel(schema.stages, schema.proxy_label),
        "Rows": ", ".join(f"{schema.rows[split]:,} {split}" for split in SPLITS),
        **_positives(results, params),
        **_overlap(schema, redrawn=results.redrawn),
        "Options": ", ".join(
            f"{name} {'unset' if value is None else value}"
            for name, value in schema.options.items()
        )
        or "none",
        "Fields": f"{len(schema.categorical)} categorical, {len(schema.numeric)} numeric"
        + (f", {len(schema.sequences)} histories" if schema.sequences else ""),
        "Budget": f"{protocol.tuning.trials} trials per method; {params.replicates} replicates",
        **({"Intervals cover": covered(results)} if params.replicates > 1 else {}),
        "Backbone": f"{backbone.name} of size {backbone.embedding_size}, shared layers "
        f"{_layers(backbone.hidden)}, towers {_layers(backbone.tower)}, "
        f"dropout {backbone.dropout:g}"
        + "".join(f", {name} {value}" for name, value in sorted(backbone.options.items())),
        **_pretraining(protocol.pretraining),
        "Device": _each(origin.device for origin in origins),
        "Times are": _times(results.tasks),
        "Software": _each(
            ", ".join(f"{name} {version}" for name, version in sorted(origin.versions.items()))
            + f", Python {origin.python}"
            for origin in origins
        ),
        "Data": schema.fingerprint,
        "Licence": schema.licence,
        "Commit": _each(_commit(origin.commit) for origin in origins),
    }


def selected(protocol: Protocol) -> str:
    """Return the sentence that says what was chosen by which criterion."""
    selections = [
        *(["hyper-parameters"] if protocol.tuning.trials else []),
        *(["epochs"] if protocol.kept_epoch == "best" else []),
    ]
    if not selections:
        return "Nothing is selected: the methods' defaults, after the last epoch."
    metric = Metric.parse(protocol.selection_metric)
    better = "highest" if metric.measure.direction is HIGHER else "lowest"
    return (
        f"Selected by the {better} {metric.label}, {metric.population}, on the validation split: "
        f"{' and '.join(selections)}."
    )


def _meaning(schema: Schema) -> Iterator[str]:
    """Yield what the labels and rows of a dataset mean."""
    if schema.proxy_label is not None:
        yield f"No conversion is logged; the proxy label is: {schema.proxy_label}."
    if schema.has_impressions:
        yield "Metrics over clicked impressions are themselves subject to selection bias."
    else:
        yield "The rows are clicks: nothing is measured on impressions without one."


def _pretraining(before: Pretraining) -> dict[str, str]:
    if before.task == "none":
        return {}
    passes = f"{before.epochs} {'pass' if before.epochs == 1 else 'passes'}"
    return {"Pre-training": f"{before.task} fields, rate {before.rate:g}, {passes}"}


def _layers(sizes: tuple[int, ...]) -> str:
    return "–".join(map(str, sizes)) or "none"


def _times(tasks: Sequence[Task]) -> str:
    """Return which clock the costs were measured by."""
    clocks = [fit.clock for task in tasks for fit in task.fits]
    wall = clocks.count("wall")
    if not wall:
        return "CPU time"
    if wall == len(clocks):
        return "wall-clock time"
    return f"CPU time, but wall-clock time of {wall:,} of {len(clocks):,} fits"


def _each(values: Iterable[str]) -> str:
    """Return the distinct values; more than one means that methods differ in it."""
    return " / ".join(sorted(set(values)))


def _commit(commit: str | None) -> str:
    if commit is None or commit.startswith("release"):
        return commit or "unknown"
    return commit[:10] + (" with uncommitted changes" if commit.endswith("+") else "")


def notes(results: DatasetResults, params: Params) -> tuple[str, ...]:
    """Return how to read the table, and what it cannot say."""
    confidence = params.leaderboard.confidence
    if results.schema is None or not results.reported:
        return ()
    arrows = "↑ higher is better, ↓ lower, →0 and →1 closer to it in every replicate."
    timed = (LATE,) if results.schema.attribution_window is not None else ()
    lines = (selected(params.protocol), _spread(results, confidence), arrows)
    lines = (*lines, *_meaning(results.schema), *timed)
    further = _of_weights(results, params), _left_out(results, params)
    return (*lines, *filter(None, further), *code_notes(results))


def code_notes(results: DatasetResults) -> tuple[str, ...]:
    """Return which results in a table are of other code than that of this checkout."""
    return tuple(filter(None, (_other_code(results), _adopted(results))))


def _other_code(results: DatasetResults) -> str:
    """Return which methods were fitted by other code than is here; "" if none was."""
    titles = [
        task.title
        for task in results.reported
        if task.provenance and registry.path_of("methods", task.method).is_file()
        if task.provenance.code != code_of(task.method)
    ]
    if not titles:
        return ""
    return f"Fitted by other code than that of this checkout: {_which(titles, results)}."


def _adopted(results: DatasetResults) -> str:
    """Return which methods' records were kept over a change of code; "" if none was."""
    kept = {
        task.title: task.provenance.adopted
        for task in results.reported
        if task.provenance and task.provenance.adopted
    }
    if not kept:
        return ""
    fits = sum(adopted.fits for adopted in kept.values())
    return (
        f"Fitted by earlier code and kept, as {fits} of the fits, some of each method, gave the "
        f"same numbers when that of this checkout made them again: {_which(list(kept), results)}."
    )


def _which(titles: Sequence[str], results: DatasetResults) -> str:
    others = [task.title for task in results.reported if task.title not in titles]
    if len(titles) == 1 or len(others) > len(titles):
        return ", ".join(titles)
    return "all methods" + (f" but {', '.join(others)}" if others else "")


def _spread(results: DatasetResults, confidence: float) -> str:
    """Return what the intervals and bold values mean."""
    if len(results.reported[0].replicates) == 1:
        return (
            "One replicate: no interval and no test; bold is the best value, whatever the margin."
        )
    return (
        f"±: half-width of the {confidence:.0%} Student-t interval of the mean over replicates; "
        "in brackets its limits where they are not symmetric (bounded metrics have intervals on "
        f"the logit or log scale). {_varied(results)} Bold: the best mean and "
        "all methods not significantly different from it (paired t-test over replicates, "
        f"Holm-corrected, α = {1 - confidence:.2g}); the best method is chosen on the same "
        "replicates, so its lead is optimistically biased (winner's curse)."
    )


def covered(results: DatasetResults) -> str:
    """Return which randomness the intervals and tests of a table cover."""
    if results.redrawn:
        return "weights and simulated draws"
    if results.resampling is not None:
        return f"weights and test {results.resampling.unit}"
    return f"weights only, as {results.unresampled}"


def _varied(results: DatasetResults) -> str:
    if results.redrawn:
        return DRAWN
    if (data := results.resampling) is None:
        return TRAINED
    return RESAMPLED.format(draws=DRAWS, units=data.units, unit=data.unit)


def _of_weights(results: DatasetResults, params: Params) -> str:
    """Return which metrics do not follow the resampled data; "" if all do, or nothing does."""
    if results.resampling is None:
        return ""
    shown = dict.fromkeys((*params.leaderboard.headline, *params.leaderboard.columns))
    labels = [
        f"{metric.label}, {metric.population}"
        for metric in map(Metric.parse, shown)
        if influence(metric.measure.name) is None
        if any(task.values(metric.name) is not None for task in results.reported)
    ]
    return f"Intervals of weights only: {'; '.join(labels)}." if labels else ""


def _positives(results: DatasetResults, params: Params) -> dict[str, str]:
    """Return the mean numbers of positives and rows of the populations in the table."""
    names = (*params.leaderboard.headline, *params.leaderboard.columns)
    spaces = {metric.key: metric.space for metric in map(Metric.parse, names)}
    by_title = {
        title: counts
        for space, title in spaces.items()
        if (counts := [c for task in results.reported for c in _counts(task, space)])
    }
    texts = [
        f"{title} {np.mean([c['positives'] for c in counts]):,.0f} of "
        f"{np.mean([c['rows'] for c in counts]):,.0f}"
        for title, counts in by_title.items()
    ]
    return {"Positives": "; ".join(texts)} if texts else {}


def _counts(task: Task, space: str) -> list[dict[str, float]]:
    return [fit.counts[space] for fit in task.replicates if space in fit.counts]


def _overlap(schema: Schema, *, redrawn: bool) -> dict[str, str]:
    """Return what clicks are worth as a sample of impressions, if a card has counted this data."""
    path = CARDS / f"{schema.dataset}.json"
    try:
        card = read(path)
        if card is None or card.overlap is None or card.fingerprint != schema.fingerprint:
            return {}
        text = _worth(card.overlap, path)
    except CardError as error:
        return {"Overlap": f"unknown, as {error}"}
    return {"Overlap": f"{text}, in the first draw" if redrawn else text}


def _worth(overlap: Overlap, path: Path) -> str:
    floors = {clip.floor: clip for clip in overlap.floors}
    if not {0.0, FLOOR} <= floors.keys():
        raise CardError(path, f"lacks what a floor of 0 or of {FLOOR:g} does")
    sizes = [
        f"{floors[floor].effective_clicks:,.0f} "
        f"({floors[floor].effective_clicks / overlap.clicks:.0%})"
        for floor in (0.0, FLOOR)
    ]
    return (
        f"{overlap.clicks:,} training clicks weighted by inverse propensities have an effective "
        f"sample size of {sizes[0]}, or {sizes[1]} with a floor of {FLOOR:g}, which clips "
        f"{floors[FLOOR].impressions:.1%} of the impressions and {floors[FLOOR].clicks:.1%} of the "
        "clicks"
    )


def _left_out(results: DatasetResults, params: Params) -> str:
    """Return why requested columns are not reported; "" if all are, or no reason is on record."""
    first = [task.replicates[0] for task in results.reported]
    why = {name: text for fit in first for name, text in fit.undefined.items()}
    reasons = []
    for metric in map(Metric.parse, params.leaderboard.columns):
        task, _, population = metric.name.split("_")
        if any(metric.name in fit.test for fit in first):
            continue
        if reason := why.get(f"{task}_{population}"):
            reasons.append(f"{metric.space} ({reason})")
        elif reason := why.get(metric.name):
            reasons.append(f"{metric.label}, {metric.population} ({reason})")
    return f"Not reported: {'; '.join(dict.fromkeys(reasons))}." if reasons else ""
