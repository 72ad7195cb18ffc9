"""The options of an adapter: a section of ``params.yaml``, with the types that several share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Field

from benchmark.config import Section
from benchmark.configuration.documents import Location, Node
from benchmark.configuration.mistakes import validated, wrong

PARAMS = Location("params.yaml")

History = Annotated[
    int, Field(ge=0, description="The length of the histories of earlier clicks; 0 is none.")
]
Seed = Annotated[
    int, Field(ge=0, description="The seed of all that is drawn; another one is a fresh draw.")
]
Strength = Annotated[float, Field(ge=0)]
WindowDays = Annotated[
    float, Field(ge=1e-3, description="How many days after its click a conversion counts.")
]


class Options(Section):
    """What a user may choose about a dataset; this one has no options."""


class SimulatedOptions(Options):
    """What a user may choose about a dataset whose clicks are simulated."""

    renamed = {"hidden": "write `unobserved_confounding`"}


T = TypeVar("T", bound=Options)


def options_from(kind: type[T], values: Mapping[str, Any], *path: str) -> T:
    """Return options with defaults where none are given; ``path`` is where params name them.

    Raises:
        ConfigError: an option is unknown or has a wrong value.
    """
    return validated(kind, _at(path, values), path)


def is_wrong(value: object, must: str, *path: str) -> str:
    """Return the sentence about an option at a path that is not what it must be."""
    return wrong(_at(path, value), path, must)


def _at(path: tuple[str, ...], value: object) -> Node:
    node = _node(value)
    for key in reversed(path):
        node = Node({key: node}, PARAMS)
    return node


def _node(value: object) -> Node:
    """Return a value as if it was written in ``params.yaml``."""
    if isinstance(value, Mapping):
        return Node({str(key): _node(item) for key, item in value.items()}, PARAMS)
    if isinstance(value, list | tuple):
        return Node([_node(item) for item in value], PARAMS)
    return Node(value, PARAMS, str(value))
