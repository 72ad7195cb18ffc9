"""One self-contained page, ``index.html``: tables, pictures, provenance and citations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmark.bibliography import keys
from benchmark.files import write_text
from benchmark.reporting.contrasts import Cell
from benchmark.reporting.leaderboard import UNVERIFIED
from benchmark.reporting.metric import Metric
from benchmark.reporting.records import Task
from benchmark.reporting.table import Table

CAPTIONS = {
    "headline": "Mean over replicates and its interval; methods from best to worst by the first "
    "panel.",
    "calibration": "Reliability: predicted against observed CVR, averaged over replicates, one "
    "panel per method from best to worst. Each point is a tenth of the rows, by prediction; "
    "oracle: the true CVR in place of the observed one.",
    "clicked_vs_oracle": "What evaluation on clicks says against what is true of all impressions, "
    "with intervals over replicates: where the order differs by more than these, clicks mislead.",
}


@dataclass(frozen=True)
class Picture:
    """An SVG element to stand in the page, with its caption."""

    svg: Markup
    caption: str


def write(
    tables: Sequence[Table],
    pictures: Mapping[str, Iterable[Path]],
    references: Mapping[str, str],
    path: Path,
) -> None:
    """Write the page; ``pictures`` are SVG files by dataset, ``references`` BibTeX by key."""
    templates = environment()
    templates.filters["groups"] = _groups
    templates.globals |= {"cite": _cite, "named": _named, "value": _value}
    text = templates.get_template("page.html.j2").render(
        tables=tables,
        pictures={
            dataset: [picture(dataset, path, CAPTIONS[path.stem]) for path in paths]
            for dataset, paths in pictures.items()
        },
        references=references,
        unverified=UNVERIFIED,
    )
    write_text(path, text)


def environment() -> Environment:
    """Return the templates beside this file, which escape what they are given."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )


def picture(group: str, path: Path, caption: str) -> Picture:
    """Inline a file; its ids get a prefix, since they would clash with those of other pictures."""
    svg = path.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    prefix = f"{group}-{path.stem}-"
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", svg)
    return Picture(Markup(svg), caption)


def _groups(metrics: Iterable[Metric]) -> list[tuple[str, list[Metric]]]:
    return [(space, list(found)) for space, found in groupby(metrics, lambda m: m.space)]


def _cite(citation: str) -> Markup:
    link = Markup('<a class="soft" href="#ref-{0}">[{0}]</a>')
    return Markup(" ").join(link.format(key) for key in keys(citation))


def _named(task: Task) -> Markup:
    """Return a method's title, linked to the first entry of its citation."""
    cited = keys(task.provenance.citation) if task.provenance else []
    link = Markup('<a href="#ref-{}">{}</a>')
    return link.format(cited[0], task.title) if cited else Markup.escape(task.title)


def _value(cell: Cell | None) -> Markup:
    if cell is None:
        return Markup("–")
    mean, _, half_width = cell.text().partition(" ")
    text = Markup("{} <i>{}</i>").format(mean, half_width) if half_width else Markup(mean)
    return Markup("<b>{}</b>").format(text) if cell.best else text
