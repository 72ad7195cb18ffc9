"""What a key of a configuration may hold, in words: for errors and for the reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as bounds
from pydantic import BaseModel
from pydantic.fields import FieldInfo

PLAIN = {
    bool: "true or false",
    str: "text",
    int: "a whole number",
    float: "a number",
    Any: "any value",
}
PLURALS = {"a whole number": "whole numbers", "a number": "numbers", "text": "texts"}


@dataclass(frozen=True)
class Allowed:
    """The words for a type whose check is a function, as metadata of an ``Annotated``."""

    words: str


def allowed(kind: Any, metadata: Iterable[Any] = ()) -> str:
    """Return what a value of a type may be, as the end of "it must be …"."""
    if isinstance(kind, FieldInfo):
        return allowed(kind.annotation, kind.metadata)
    kind, notes = _unwrapped(kind, metadata)
    for note in notes:
        if isinstance(note, Allowed):
            return note.words
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(dict.fromkeys(_member(member, notes) for member in get_args(kind)))
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    return _container(kind, notes) or PLAIN.get(kind, "a value") + _range(kind, notes)


def members(kind: Any) -> Iterator[Any]:
    """Yield the types that a type may stand for, without annotations and null."""
    if isinstance(kind, FieldInfo):
        kind = kind.annotation
    kind, _ = _unwrapped(kind, ())
    if get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from members(member)
    elif kind is not NoneType:
        yield kind


def _member(kind: Any, notes: Sequence[Any]) -> str:
    return "null" if kind is NoneType else allowed(kind, notes)


def _unwrapped(kind: Any, metadata: Iterable[Any]) -> tuple[Any, list[Any]]:
    notes = list(metadata)
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        notes += [part for note in more for part in getattr(note, "metadata", [note])]
    return kind, notes


def _container(kind: Any, notes: Sequence[Any]) -> str:
    origin = get_origin(kind) or kind
    if origin in (tuple, list):
        item, *_ = get_args(kind) or (Any,)
        words = allowed(item)
        what = next(
            (PLURALS[w] + words.removeprefix(w) for w in PLURALS if words.startswith(w)), ""
        )
        full = "a list" if _least(notes) == 0 else "a non-empty list"
        return f"{full} of {what}" if what else f"{full}, each item {words}"
    if origin is dict:
        return "a mapping of keys to values"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        first = list(kind.model_fields)
        return f"a mapping with the keys {', '.join(first[:3])}" + ", …" * (len(first) > 3)
    return ""


def _least(notes: Iterable[Any]) -> int:
    return max((note.min_length for note in notes if isinstance(note, bounds.MinLen)), default=0)


def _range(kind: Any, notes: Sequence[Any]) -> str:
    """Return the bounds of a number, such as " of at least 1 and at most 8"."""
    words = []
    for note in notes:
        if isinstance(note, bounds.Gt):
            least = note.gt + 1 if kind is int and isinstance(note.gt, int) else None
            words.append(f"above {note.gt:,}" if least is None else f"of at least {least:,}")
        if isinstance(note, bounds.Ge):
            words.append(f"of at least {note.ge:,}")
        if isinstance(note, bounds.Lt):
            words.append(f"below {note.lt:,}")
        if isinstance(note, bounds.Le):
            words.append(f"at most {note.le:,}")
    return f" {' and '.join(words)}" if words else ""
