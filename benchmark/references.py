"""The widened reference: how its results are named, and which methods it is compared with."""

from __future__ import annotations

from typing import Any

from benchmark.config import Protocol

TOLERANCE = 0.1  # largest relative difference of numbers of parameters that count as equal
MARK = "@"


def widened(reference: str, count: int) -> str:
    """Return the name of the reference with so many parameters, also of its folder of results."""
    return f"{reference}{MARK}{count}"


def is_widened(name: str) -> bool:
    """Tell whether a name is that of a widened reference."""
    return MARK in name


def is_matched(count: int, other: int) -> bool:
    """Tell whether two numbers of parameters are equal within the tolerance."""
    return abs(count - other) <= TOLERANCE * other


def own_protocol(protocol: Protocol, name: str, recorded: dict[str, Any]) -> Protocol:
    """Return the protocol of a task: with its method's own defaults, if widened its own towers.

    The towers are those of the protocol on record.
    """
    protocol = protocol.of(name.partition(MARK)[0])
    if not is_widened(name):
        return protocol
    towers = tuple(recorded["backbone"]["tower"])
    backbone = protocol.backbone.model_copy(update={"tower": towers})
    return protocol.model_copy(update={"backbone": backbone})
