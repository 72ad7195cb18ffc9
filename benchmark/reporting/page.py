"""One self-contained page, ``index.html``: explorer, tables, pictures, cards and citations.

Without its script the tables, pictures and cards are all there; the script lets readers sort,
filter, compare and copy. Both show the same ``leaderboard.json``, which the page holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from latex2mathml.converter import convert
from markupsafe import Markup

from benchmark.bibliography import keys
from benchmark.files import write_text
from benchmark.reporting.cards import is_ours
from benchmark.reporting.contrasts import Cell
from benchmark.reporting.leaderboard import UNVERIFIED, named, titled
from benchmark.reporting.metric import Metric
from benchmark.reporting.published import Published
from benchmark.reporting.records import Task
from benchmark.reporting.site import NAME, Link
from benchmark.reporting.table import Table

CAPTIONS = {
    "headline": "Mean over replicates and its interval; methods from best to worst by the first "
    "panel. An axis ends before values far from all others; a method's stands at its end.",
    "cost": "The first headline metric against the time of a fit, with intervals over replicates. "
    "Blue: the methods that no other beats in both (Pareto front). An axis ends before methods far "
    "from all others.",
    "ranking_cost": "The mean rank against the time of a fit. Blue: the methods that no other "
    "beats in both (Pareto front).",
    "calibration": "Reliability: predicted against observed CVR, averaged over replicates, one "
    "panel per method from best to worst. Each point is a tenth of the rows by prediction; oracle: "
    "the true CVR in place of the observed one. The axes end before methods far from all others.",
    "clicked_vs_oracle": "What evaluation on clicks says against what is true of all impressions, "
    "with intervals over replicates: where the order differs by more than these, clicks mislead.",
}
RANKING = (
    "Critical difference diagram: the mean rank over all replicates of all settings with half a "
    "critical difference to each side (Nemenyi). Methods whose bars do not overlap are "
    "significantly different. At the right, the rank and the interval of the true rank. This test "
    "uses ranks alone and allows for all pairs, so that it may separate fewer methods from the "
    "best than the paired t-tests of the table."
)


@dataclass(frozen=True)
class Picture:
    """An SVG element to stand in the page, with its caption and the file for papers."""

    svg: Markup
    caption: str
    name: str
    pdf: str = ""


@dataclass(frozen=True)
class Parts:
    """What a page has beside its tables.

    ``pictures`` are SVG files by dataset, those over all under ""; ``documents`` are further
    sections, by title, and ``others`` further pages.
    """

    pictures: Mapping[str, Sequence[Path]]
    documents: Mapping[str, Markup] = field(default_factory=dict)
    others: Sequence[Link] = ()


def write(published: Published, tables: Sequence[Table], parts: Parts, path: Path) -> None:
    """Write the page."""
    templates = environment()
    templates.filters |= {"groups": _groups, "prose": prose, "formula": formula}
    templates.globals |= {"cite": _cite, "named": _named, "value": _value, "titled": titled}
    text = templates.get_template("page.html.j2").render(
        title=published.title,
        up=os.path.relpath(Path(), path.parent),
        published=published,
        tables=tables,
        documents=parts.documents,
        pictures={
            dataset: [picture(dataset or "all", file, caption(file), path.parent) for file in paths]
            for dataset, paths in _arranged(parts.pictures).items()
        },
        others=parts.others,
        unverified=UNVERIFIED,
        data=Markup(published.text(short=True).strip().replace("<", r"\u003c")),
    )
    write_text(path, text)


def _arranged(pictures: Mapping[str, Sequence[Path]]) -> dict[str, Sequence[Path]]:
    """Show the cost in the only setting in the overview, as that over several settings is."""
    settings = [name for name in pictures if name]
    if len(settings) != 1:
        return dict(pictures)
    own = pictures[settings[0]]
    cost = [path for path in own if path.stem == "cost"]
    others = [path for path in own if path not in cost]
    return {settings[0]: others, "": [*pictures.get("", ()), *cost]}


def environment() -> Environment:
    """Return the templates beside this file, which escape what they are given."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    templates.globals["site"] = NAME
    return templates


def picture(group: str, path: Path, caption: str, page: Path | None = None) -> Picture:
    """Inline a file; its ids get a prefix, since they would clash with those of other pictures."""
    svg = path.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    prefix = f"{group}-{path.stem}-"
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", svg)
    pdf = path.with_suffix(".pdf")
    link = pdf.relative_to(page).as_posix() if page and pdf.is_file() else ""
    return Picture(Markup(svg), caption, f"{group}, {path.stem}", link)


def caption(path: Path) -> str:
    """Return what a picture of the leaderboard shows."""
    return CAPTIONS.get(path.stem, RANKING)


def prose(text: str) -> Markup:
    """Return a paragraph of a docstring as HTML, with its code and formulas."""
    parts = re.split(r"(``.+?``|:\w+:`[^`]+`)", text)
    return Markup("").join(map(_part, parts))


def _part(text: str) -> Markup:
    if text.startswith("``"):
        return Markup("<code>{}</code>").format(text.strip("`"))
    if text.startswith(":math:`"):
        return Markup(convert(text[7:-1]))
    return Markup.escape(re.sub(r"^:\w+:`~?([^`]+)`$", r"\1", text))


def formula(text: str) -> Markup:
    """Return a formula in LaTeX as MathML of its own line."""
    return Markup(convert(text, display="block"))


def _groups(metrics: Iterable[Metric]) -> list[tuple[str, list[Metric]]]:
    return [(space, list(own)) for space, own in groupby(metrics, lambda m: m.space)]


def _cite(citation: str) -> Markup:
    link = Markup('<a class="soft" href="#ref-{0}">[{0}]</a>')
    return Markup(" ").join(link.format(key) for key in keys(citation))


def _named(task: Task) -> Markup:
    """Return a method's title, linked to its card, and whether it is this suite's own."""
    ours = Markup(' <span class="soft">ours</span>') if is_ours(task.method) else ""
    return Markup('<a href="#method-{}">{}</a>{}').format(task.method, named(task), ours)


def _value(cell: Cell | None) -> Markup:
    if cell is None:
        return Markup("–")
    mean, _, half_width = cell.text().partition(" ")
    text = Markup("{} <i>{}</i>").format(mean, half_width) if half_width else Markup(mean)
    return Markup("<b>{}</b>").format(text) if cell.best else text
