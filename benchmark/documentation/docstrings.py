"""What a method's class says of itself, for every page that shows it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

from benchmark.schema import Need

if TYPE_CHECKING:
    from benchmark.training.method import Method


def paragraph(text: str, label: str) -> str:
    """Return the paragraph of a docstring that begins with a label, as one line, or ""."""
    found = re.search(rf"^{label}: (.+?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def needs(method: type[Method]) -> list[str]:
    """Return what a method requires of a dataset, in the order of the funnel."""
    return [need for need in get_args(Need) if need in method.requires]
