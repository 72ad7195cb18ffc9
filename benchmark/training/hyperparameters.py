"""Hyper-parameters declared once: default, search range and attribute in one line of a class."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar, cast, overload

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from torch import nn

from benchmark import registry

T = TypeVar("T")
RESERVED = frozenset(vars(nn.Module())) | {"backbone"}  # set on every instance


@overload
def tuned(default: int, *, low: int, high: int, log: bool = True) -> int: ...
@overload
def tuned(default: float, *, low: float, high: float, log: bool = True) -> float: ...
@overload
def tuned(default: T, *, choices: Sequence[T]) -> T: ...
def tuned(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    log: bool = True,
    choices: Sequence[Any] | None = None,
) -> Any:
    """Declare a hyper-parameter in the body of a :class:`~benchmark.method.Method`.

    The search draws it between ``low`` and ``high``, both included: uniformly in its logarithm,
    or in itself without ``log``. It draws whole numbers if all three are, unless the attribute is
    annotated as ``float``. With ``choices``, it draws one of these. An instance has the value as
    an attribute.
    """
    return Declared(default, low, high, log, choices, _caller(inspect.currentframe()))


@dataclass(frozen=True)
class Declared:
    """What :func:`tuned` was given, and the ``location`` (file and line) of the call."""

    default: Any
    low: float | None
    high: float | None
    log: bool
    choices: Sequence[Any] | None
    location: str

    def distribution(self, name: str, annotation: object) -> BaseDistribution:
        """Return what the hyper-parameter is drawn from.

        Raises:
            PluginError: the default cannot be drawn, or nothing can.
        """
        if fault := self._fault():
            raise registry.PluginError(f"{self.location}: {name} {fault}")
        if self.choices is not None:
            return CategoricalDistribution(self.choices)
        low, high = cast(float, self.low), cast(float, self.high)
        whole = all(isinstance(value, int) for value in (self.default, low, high))
        if whole and annotation not in ("float", float):
            return IntDistribution(int(low), int(high), log=self.log)
        return FloatDistribution(low, high, log=self.log)

    def _fault(self) -> str | None:
        """Return what is wrong and how to mend it, None if nothing is."""
        if self.choices is None:
            return self._fault_of_range()
        if not (self.low is None and self.high is None):
            return "has both a range and choices; give tuned() one of them"
        if not self.choices:
            return "has no choices; give tuned() those that the search draws from"
        if self.default in self.choices:
            return None
        known = ", ".join(map(repr, self.choices))
        return f"has the default {self.default!r}, not one of {known}; add it, or take one of them"

    def _fault_of_range(self) -> str | None:
        low, high = self.low, self.high
        if low is None or high is None:
            return "has no range; give tuned() either low and high, or choices"
        for value in (self.default, low, high):
            if isinstance(value, bool) or not isinstance(value, int | float):
                return f"has a range, and {value!r} is no number; give tuned() choices instead"
        if not low < high:
            return f"has the range {low} to {high}; let low be smaller than high"
        if self.log and low <= 0:
            return f"is drawn by its logarithm from {low} on; let low be positive, or log=False"
        if low <= self.default <= high:
            return None
        return (
            f"has the default {self.default}, outside its range of {low} to {high}; change the "
            "default, or widen the range"
        )


def collect(cls: type) -> tuple[dict[str, BaseDistribution], dict[str, Any]]:
    """Return the search space and the defaults of a class, what its body declares being the last.

    They are inherited as attributes are, from several bases too. What the body declares leaves its
    default as the class's attribute. A plain value in the place of an inherited hyper-parameter
    fixes it: the search leaves it alone.

    Raises:
        PluginError: a declaration contradicts itself, or takes the name of another attribute.
    """
    _declare(cls)
    found = dict[str, tuple[BaseDistribution, Any]]()
    for base in reversed(cls.__mro__):
        own = vars(base).get("declared", {})
        for name in vars(base):
            found.pop(name, None)
            if name in own:
                found[name] = own[name]
    space = {name: distribution for name, (distribution, _) in found.items()}
    return space, {name: default for name, (_, default) in found.items()}


def _declare(cls: Any) -> None:
    """Put what a class body declares aside as ``declared``, and its defaults in its place."""
    annotations = inspect.get_annotations(cls)
    inherited = {name for base in cls.__bases__ for name in getattr(base, "search_space", ())}
    cls.declared = {}
    for name, value in list(vars(cls).items()):
        if not isinstance(value, Declared):
            continue
        taken = name in RESERVED or any(hasattr(base, name) for base in cls.__bases__)
        if taken and name not in inherited:
            raise registry.PluginError(
                f"{value.location}: {name} is taken by every method; choose another name"
            )
        cls.declared[name] = value.distribution(name, annotations.get(name)), value.default
        setattr(cls, name, value.default)


def _caller(frame: FrameType | None) -> str:
    """Return the file, relative to the project where it lies in it, and the line that called."""
    if frame is None or frame.f_back is None:
        return "a method"
    path = Path(frame.f_back.f_code.co_filename)
    return f"{registry.shown(path)}, line {frame.f_back.f_lineno}"
