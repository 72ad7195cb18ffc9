"""Values checked by a model; each mistake is one sentence with file, line, key and value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from benchmark.configuration.allowed import allowed, members
from benchmark.configuration.documents import Node, shortened
from benchmark.errors import ConfigError, did_you_mean

M = TypeVar("M", bound=BaseModel)
Path = tuple[str | int, ...]
NAME_OF_KEY = "[key]"  # how pydantic ends the location of a key that is wrong itself


class WrongValueError(ValueError):
    """A value that does not fit its section; ``key`` is where it stands, from the section on."""

    def __init__(self, key: str, words: str) -> None:
        super().__init__(words)
        self.path: Path = tuple(
            int(part) if part.isdigit() else part for part in key.split(".") if part
        )


def validated(kind: type[M], node: Node, path: Path = ()) -> M:
    """Return a section, which stands at a path of its file, as a model.

    Raises:
        ConfigError: with a sentence for every mistake in it.
    """
    section = node.at(path) if node.has(path) else replace(node.at(path), content={})
    try:
        return kind.model_validate(section.plain())
    except ValidationError as error:
        raise ConfigError(_sentences(kind, node, path, error)) from None


def mistake(node: Node, path: Path, words: str) -> str:
    """Return the sentence about a value, in which ``words`` follow what stands there.

    Where the value is a default, the sentence names the section that does not set it.
    """
    own = ("variants", node.variant, *path[1:])  # where a variant changes the protocol
    in_variant = bool(node.variant) and path[:1] == ("protocol",) and node.has(own)
    return f"{node.at(path).location}: {dotted(own if in_variant else path)} {words}"


def wrong(node: Node, path: Path, must: str) -> str:
    """Return the sentence about a value that is not what it must be."""
    return mistake(node, path, f"is {shown(node.at(path))}; it must be {must}")


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as it is written on the command line, such as ``protocol.hidden[0]``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{_key(key)}" for key in path)
    return text.removeprefix(".") or "the file"


def _key(key: str) -> str:
    """Return a key in one line: in quotes, with escapes, where it would not be seen as it is."""
    return shortened(key if key and key.isprintable() else repr(key))


def shown(node: Node) -> str:
    """Return a value as it is written, in quotes if it is text, shortened."""
    if node.content is None:
        return "empty"
    value = node.plain()
    if isinstance(value, dict | list) and not value:
        return "empty"
    text = repr(value) if isinstance(value, str | dict | list) else node.text or str(value)
    return shortened(text)


def _sentences(kind: Any, node: Node, start: Path, error: ValidationError) -> list[str]:
    """Return a sentence per place, but none for what a wrong value within it or a typo explains."""
    sentences: dict[Path, str] = {}
    errors = error.errors(include_url=False, include_input=False)
    for details in sorted(errors, key=lambda one: one["type"] != "extra_forbidden"):
        cause = details.get("ctx", {}).get("error")
        path, annotation, parent = _located(kind, details["loc"])
        if isinstance(cause, WrongValueError):
            path, annotation, parent = _located(kind, (*details["loc"], *cause.path))
        if any(other[: len(path)] == path for other in sentences):
            continue
        typo = details["type"] == "missing" and any(
            other[:-1] == path[:-1] and f"did you mean {path[-1]!r}" in text
            for other, text in sentences.items()
        )
        if not typo:
            sentences[path] = _sentence(node, (*start, *path), annotation, parent, details)
    return list(sentences.values())


def _sentence(
    node: Node, path: Path, annotation: Any, parent: Any, details: Mapping[str, Any]
) -> str:
    if details["loc"][-1:] == (NAME_OF_KEY,):
        must = details.get("ctx", {}).get("error") or f"it must be {allowed(str)}"
        return mistake(node, path, f"cannot have this name; {must}")
    problem, (*above, key) = details["type"], path or ("",)
    if problem == "missing":
        return mistake(node, path, f"is missing; it must be {allowed(annotation)}")
    if problem == "extra_forbidden":
        return _unknown(node, tuple(above), str(key), parent)
    if problem == "value_error":
        reason = details["ctx"]["error"]
        is_set = node.has(path)
        return mistake(
            node, path, f"is {shown(node.at(path))}; {reason}" if is_set else str(reason)
        )
    return wrong(node, path, allowed(annotation) + _close(node.at(path).content, annotation))


def _unknown(node: Node, above: Path, key: str, parent: Any) -> str:
    """Return the sentence about a key that its section does not have."""
    renamed = getattr(parent, "renamed", {})
    path = (*above, key)
    if key in renamed:
        return mistake(node, path, f"is an old name; {renamed[key]}")
    fields = getattr(parent, "model_fields", {})
    return mistake(node, path, f"is no key; {did_you_mean(key, fields)}")


def _close(value: object, annotation: Any) -> str:
    """Return what else may have been meant by the text where one of some names is asked for."""
    choices = [str(name) for member in members(annotation) for name in _literals(member)]
    hint = did_you_mean(value, choices) if isinstance(value, str) and choices else ""
    return f"; {hint}" if hint.startswith("did") else ""


def _literals(member: Any) -> Iterable[Any]:
    return get_args(member) if repr(get_origin(member)) == "typing.Literal" else ()


def _located(kind: Any, location: Sequence[str | int]) -> tuple[Path, Any, Any]:
    """Return the path without the branches of unions, the type there, and that of its section."""
    path: list[str | int] = []
    annotation, parent = kind, None
    for key in location[:-1] if location[-1:] == (NAME_OF_KEY,) else location:
        for member in members(annotation):
            below = _below(member, key)
            if below is not None:
                path.append(key)
                annotation, parent = below, member
                break
    return tuple(path), annotation, parent


def _below(member: Any, key: str | int) -> Any:
    """Return the type of what lies at a key of a type, None if nothing can."""
    origin = get_origin(member) or member
    if isinstance(member, type) and issubclass(member, BaseModel) and isinstance(key, str):
        return member.model_fields.get(key, FieldInfo(annotation=object))
    if origin is dict and isinstance(key, str):
        return (get_args(member) or (str, Any))[1]
    if origin in (tuple, list) and isinstance(key, int):
        return (get_args(member) or (Any,))[0]
    return None
