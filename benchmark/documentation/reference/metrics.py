"""The reference of the metrics, made from the declared measures and their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

from benchmark.documentation.reference.markdown import from_docstring, generated, rows, slug
from benchmark.metrics.criteria import CRITERIA
from benchmark.metrics.measures import BY_SPACE, MEASURES, Measure
from benchmark.metrics.populations import POPULATIONS

HEAD = """\
# Metrics

A metric is named `<task>_<measure>_<population>`, as in `cvr_auc_oracle`: no number without the
rows that it is about. A metric that is undefined on a dataset is not reported, and never 0.

The formulas use the score $s_i$ and the label $p_i$ of row $i$ among $n$ rows. A label is 0 or 1;
where the true probability is known (population `oracle`), $p_i$ is that probability, so that the
metric has no noise from sampled outcomes. ↑: higher is better. ↓: lower is better. →0 and →1:
closer to that value is better.

"""


def markdown() -> str:
    """Return the page: the populations, the measures, then one section per definition."""
    sections = [_section(measures) for measures in _by_definition().values()]
    return generated(__name__) + HEAD + _populations() + _overview() + "".join(sections)


def names() -> list[str]:
    """Return the name of every metric."""
    return [_name(space, measure) for space, measures in BY_SPACE.items() for measure in measures]


def _name(space: str, measure: Measure) -> str:
    return space.replace("_", f"_{measure.name}_")


def _populations() -> str:
    lines = [
        (f"`{space.replace('_', '_<measure>_')}`", from_docstring(POPULATIONS[space].__doc__ or ""))
        for space in BY_SPACE
    ]
    return f"## Populations\n\n{rows(('metrics', 'rows, labels and scores'), lines)}\n"


def _overview() -> str:
    lines = [
        (
            f"[{measure.title}](#{slug(_heading(measure))})",
            f"`{measure.name}`",
            measure.arrow,
            _range(measure),
            ", ".join(f"`{space}`" for space, known in BY_SPACE.items() if measure in known),
        )
        for measure in MEASURES.values()
    ]
    header = ("measure", "name", "better", "range", "task and population")
    return f"## Measures\n\n{rows(header, lines)}\n"


def _range(measure: Measure) -> str:
    low, high = measure.bounds
    below, above = "(−∞" if low is None else f"[{low:g}", "∞)" if high is None else f"{high:g}]"
    return f"{below}, {above}"


def _by_definition() -> dict[Callable[..., float], list[Measure]]:
    by_definition: dict[Callable[..., float], list[Measure]] = {}
    for measure in MEASURES.values():
        by_definition.setdefault(measure.definition, []).append(measure)
    return by_definition


def _heading(measure: Measure) -> str:
    """Return the title of a measure's section, which all places k of a list share."""
    return re.sub(r"@\d+$", "@k", measure.title)


def _section(measures: list[Measure]) -> str:
    metrics = [
        _name(space, measure)
        for measure in measures
        for space, known in BY_SPACE.items()
        if measure in known
    ]
    text = from_docstring(inspect.getdoc(measures[0].definition) or "").removeprefix("Return ")
    listed = ", ".join(f"`{name}`" for name in metrics)
    criteria = ", ".join(f"`{name}`" for name in metrics if name in CRITERIA)
    lines = [f"### {_heading(measures[0])}", f"{text[0].upper()}{text[1:]}", f"Metrics: {listed}."]
    lines += [f"Selection criteria: {criteria}."] * bool(criteria)
    return "\n\n".join(lines) + "\n\n"
