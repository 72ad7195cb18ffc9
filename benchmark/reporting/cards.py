"""What the page says of a method, from its file: loss, evidence, differences, needs, family."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmark import registry
from benchmark.configuration import documents
from benchmark.declarations import method_of
from benchmark.documentation.docstrings import needs, paragraph

FAMILIES = "families.yaml"
OTHER = "other"


@dataclass(frozen=True)
class Card:
    """A method as its docstring describes it, in reStructuredText; ``formulas`` are LaTeX."""

    family: str = OTHER
    needs: list[str] = field(default_factory=list)
    file: str = ""
    summary: str = ""
    formulas: list[str] = field(default_factory=list)
    evidence: str = ""
    differs: str = ""


def read(methods: Iterable[str]) -> dict[str, Card]:
    """Return the cards of the methods whose files are here and can be imported."""
    cards = ((name, _card(name)) for name in dict.fromkeys(methods))
    return {name: card for name, card in cards if card is not None}


def _card(name: str) -> Card | None:
    path = registry.path_of("methods", name)
    return _read(name, path, path.stat().st_mtime_ns) if path.is_file() else None


@cache
def _read(name: str, path: Path, _: int) -> Card | None:
    try:
        kind = method_of(name)
    except Exception:  # noqa: BLE001 (whatever an author's file raises; its run says so)
        return None
    text = inspect.getdoc(kind) or ""
    return Card(
        family=family(path),
        needs=needs(kind),
        file=registry.shown(path),
        summary=text.splitlines()[0] if text else "",
        formulas=[_joined(formula) for formula in _FORMULA.findall(text)],
        evidence=paragraph(text, "Evidence"),
        differs=paragraph(text, "Differs from the paper"),
    )


def is_ours(method: str) -> bool:
    """Tell whether a method is this suite's own, after the paper that it cites.

    Its evidence says so: "the method is ours", or its realisation, a combination or a use.
    """
    card = _card(method)
    return card is not None and _OURS.search(card.evidence) is not None


def origin(method: str, cited: str) -> str:
    """Return what stands behind a method's title: what it cites, and whether it is ours."""
    if not is_ours(method):
        return cited
    return f" (ours, after{cited})" if cited else " (ours)"


def family(path: Path) -> str:
    """Return the family of a method's file, as the file of families beside it tells."""
    return _families(path.with_name(FAMILIES)).get(path.stem, OTHER)


@cache
def _families(path: Path) -> dict[str, str]:
    """Return the family of each method that a file of families names."""
    content = documents.read(path).plain() if path.is_file() else {}
    return {name: title for title, names in content.items() for name in names}


_OURS = re.compile(r"\b(?:method|realisation|combination|use)\b[^.;]*\bis ours\b")
_FORMULA = re.compile(r"^ *\.\. math::(.+?)(?:\n\n(?! )|\Z)", re.DOTALL | re.MULTILINE)


def _joined(text: str) -> str:
    return " ".join(text.split())
