"""A page of the documentation per method: what its file declares, and its published results."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from benchmark import registry
from benchmark.declarations import method_of
from benchmark.documentation.catalogue import paper, tuned
from benchmark.documentation.docstrings import needs

PAGE = """\
{title}
{line}

.. automodule:: {module}
   :members:
   :show-inheritance:

What it needs and tunes
-----------------------

:File: ``methods/{name}.py``
:Paper: {paper}
:Needs: {needs}
:Tuned: {tuned}

In the published tables
-----------------------

{results}
"""
NONE = "It stands in no published table."
ABOUT = """\
Each row is a table in ``results/``. The score is that of the table's first metric, with its
interval; the difference is paired with the table's reference method. The cost is that of one final
fit: seconds on the machine that made the table, and how many gradients of rows it computed.
"""
HEADER = (
    "Table", "Metric", "Score", "Difference", "Verdict", "Rank", "Parameters", "Seconds",
    "Gradient rows",
)  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A published table: its title, its content and the cost of each fit."""

    title: str
    content: dict[str, Any]
    fits: list[dict[str, str]]


def pages(results: Path) -> dict[str, str]:
    """Return the page of each method in reStructuredText, by file name.

    ``results`` is the folder of the published tables.
    """
    tables = list(_published(results))
    return {name: _page(name, tables) for name in registry.names("methods")}


def _published(results: Path) -> Iterator[Published]:
    folders = [results, *sorted((results / "studies").glob("*/"))]
    for folder in folders:
        path = folder / "leaderboard.json"
        if path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"))
            title = content["title"] if folder is not results else "Leaderboard"
            with (folder / "runs.csv").open(encoding="utf-8", newline="") as file:
                yield Published(title, content, list(csv.DictReader(file)))


def _page(name: str, tables: Iterable[Published]) -> str:
    method = method_of(name)
    paper_title, link, venue = paper(name, method)
    rows = [row for table in tables for row in _rows(name, table)]
    return PAGE.format(
        title=method.name,
        line="=" * 2 * len(method.name),
        name=name,
        module=f"methods.{name}",
        paper=f"`{paper_title} <{link}>`__, {venue} (``{method.cite}``)",
        needs=", ".join(needs(method)) or "clicks and conversions",
        tuned="; ".join(f"``{option}`` {values}" for option, values in tuned(method).items())
        or "the learning rate and the weight decay alone",
        results=f"{ABOUT}\n{_list_table(rows)}" if rows else NONE,
    )


def _rows(name: str, table: Published) -> Iterator[tuple[str, ...]]:
    for setting in table.content["settings"]:
        metric = setting["headline"][0]
        about = table.content["metrics"][metric]
        for entry in setting["entries"]:
            score = entry["scores"].get(metric)
            if entry["method"] != name or score is None:
                continue
            gain = score.get("gain") or {}
            yield (
                f"{table.title}: {setting['title']}",
                f"{about['label']}, {about['population']} {about['arrow']}",
                score["text"],
                gain.get("text", "–"),
                gain.get("verdict", "–"),
                _rank(entry),
                f"{entry['parameters']:,}" if entry.get("parameters") else "–",
                f"{entry['seconds_per_fit']:.1f}",
                f"{_gradients(table, setting['name'], name):,.0f}",
            )


def _gradients(table: Published, dataset: str, method: str) -> float:
    """Return the rows with a gradient of a fit, in the mean over replicates."""
    own = [fit for fit in table.fits if (fit["dataset"], fit["method"]) == (dataset, method)]
    return mean(float(fit["sample_gradients"]) for fit in own)


def _rank(entry: dict[str, Any]) -> str:
    if entry.get("rank") is None:
        return "–"
    return f"{entry['rank']:g} [{entry['rank_low']}–{entry['rank_high']}]"


def _list_table(rows: Iterable[tuple[str, ...]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (HEADER, *rows):
        cells = [cell.replace("*", "\\*").replace("|", "\\|") for cell in row]
        lines += [f"   {'* -' if not i else '  -'} {cell}" for i, cell in enumerate(cells)]
    return "\n".join(lines)
