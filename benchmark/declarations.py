"""What a method's file declares: one class, with a name and a paper; mistakes in one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmark import registry
from benchmark.configuration.documents import shortened
from benchmark.errors import sentence
from benchmark.registry import PluginError

if TYPE_CHECKING:
    from benchmark.training.method import Method

TEXTS = {"name": "the method's name", "cite": "the key of its paper in references.bib"}


def method_of(name: str) -> type[Method]:
    """Return the class that a method's file declares.

    Raises:
        LookupError: there is no such file.
        PluginError: it cannot be imported, or has not exactly one method.
    """
    from benchmark.training.method import Method  # noqa: PLC0415 (seconds)

    path = registry.path_of("methods", name)
    try:
        return registry.load("methods", name, Method)
    except SyntaxError as error:  # that names no line, as that of a NUL byte
        raise PluginError(f"{registry.shown(path)}: SyntaxError: {error.msg}") from error
    except LookupError as error:
        if path.is_file():
            raise PluginError(sentence(error)) from error
        raise


def undeclared(name: str, kind: type[Method]) -> Iterator[str]:
    """Yield what the class in a method's file does not declare as its record needs it."""
    path = registry.shown(registry.path_of("methods", name))
    for attribute, what in TEXTS.items():
        value = getattr(kind, attribute, None)
        if not isinstance(value, str) or not value.strip():
            shown = "is missing" if value is None else f"is {shortened(repr(value))}"
            yield f"{path}: {attribute} {shown}; it must be {what}, as text"
    if isinstance(getattr(kind, "cite", None), str) and kind.cite.strip():
        try:
            _ = kind.citation
        except (LookupError, ValueError) as error:
            yield sentence(error)
    for parameter, distribution in kind.search_space.items():
        for value in (kind.defaults[parameter], *getattr(distribution, "choices", ())):
            if not _is_plain(value):
                shown = f"the {type(value).__name__} {shortened(str(value))}"
                yield (
                    f"{path}: {parameter} may be {shown}; it must be a finite number or a text, as "
                    "Python has them"
                )
                break


def _is_plain(value: object) -> bool:
    """Tell whether a record can hold a value, and give it back as it was."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)
