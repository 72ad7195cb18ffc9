"""YAML 1.2 files as trees in which each value knows the file and the line where it stands.

Keys are text and stand once in a mapping. The size of a file, the number of its values with all
aliases expanded, and their depth are bounded.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError, YAMLWarning
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from benchmark.errors import ConfigError

BYTES, VALUES, DEPTH = 1_000_000, 20_000, 20
LONGEST = 60  # characters of a value or a key that a sentence shows
TAG = "tag:yaml.org,2002:"
SCALARS = ("int", "float", "bool", "null")
TEXTS = ("str", "timestamp", "value", "merge")


@dataclass(frozen=True)
class Location:
    """A line of a file, or an option of the command line, which has no lines."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Node:
    """A value as it is written: a scalar, a list of nodes, or nodes by key.

    The location of a value in a mapping is that of its key. The params of a variant of a study
    have its name.
    """

    content: Any
    location: Location
    text: str = ""
    variant: str = ""

    def plain(self) -> Any:
        """Return the value alone."""
        if isinstance(self.content, dict):
            return {key: child.plain() for key, child in self.content.items()}
        if isinstance(self.content, list):
            return [child.plain() for child in self.content]
        return self.content

    def child(self, key: object) -> Node | None:
        """Return a value of a mapping or a list, None where there is none."""
        if isinstance(self.content, dict):
            return self.content.get(key)
        inside = isinstance(self.content, list) and isinstance(key, int) and key < len(self.content)
        return self.content[key] if inside else None

    def has(self, path: Sequence[str | int]) -> bool:
        """Tell whether there is a value at a path."""
        node: Node | None = self
        for key in path:
            node = node and node.child(key)
        return node is not None

    def at(self, path: Sequence[str | int]) -> Node:
        """Return the value at a path, or the last one on the way to it that is there."""
        node = self
        for key in path:
            if (below := node.child(key)) is None:
                break
            node = below
        return node

    def merged(self, changes: Node) -> Node:
        """Return the value with the changes, which reach into mappings and replace all else."""
        if not (isinstance(self.content, dict) and isinstance(changes.content, dict)):
            return changes
        content = dict(self.content)
        for key, value in changes.content.items():
            content[key] = content[key].merged(value) if key in content else value
        return replace(self, content=content)


def written(value: object, file: str, *path: str) -> Node:
    """Return a value as if it was written in a file, in the sections of a path."""
    location = Location(file)
    if isinstance(value, Mapping):
        node = Node({str(key): written(item, file) for key, item in value.items()}, location)
    elif isinstance(value, list | tuple):
        node = Node([written(item, file) for item in value], location)
    else:
        node = Node(value, location)
    for key in reversed(path):
        node = Node({key: node}, location)
    return node


def read(path: Path) -> Node:
    """Read a file whose content is a mapping.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: it is no YAML 1.2, names a key twice, is too large, or holds no keys.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; run this from the project root")
    if path.stat().st_size > BYTES:
        raise ConfigError([f"{path}: a configuration of more than {BYTES:,} bytes is not read"])
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start} is no UTF-8; save it as UTF-8"]) from None
    node = parse(text, str(path))
    if not isinstance(node.content, dict):
        raise ConfigError([f"{path}: holds no keys, as in 'launch: {{workers: 8}}'"])
    return node


def parse(text: str, file: str, *, lines: bool = True) -> Node:
    """Read a text, which comes from a file or, without ``lines``, from the command line.

    Raises:
        ConfigError: it is no YAML 1.2, names a key twice, or is too large.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # ruamel.yaml's, of anchors that are defined twice
            root = yaml.compose(text)
    except (YAMLError, YAMLWarning) as error:
        raise ConfigError([_no_yaml(error, Location(file), lines=lines)]) from None
    except (RecursionError, ValueError):
        raise ConfigError(
            [f"{file}: is no YAML that can be read: its brackets are too deep"]
        ) from None
    return _Builder(yaml, file, lines=lines).node(root, 0)


def setting(text: str) -> Node:
    """Read an assignment of the command line, ``key=value``, with a dotted key and a YAML value.

    Raises:
        ConfigError: there is no key, or the value is no YAML.
    """
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise ConfigError(
            [f"--set: {shortened(repr(text))} is no assignment, as in 'protocol.max_epochs=3'"]
        )
    node = parse(value, "--set", lines=False)
    for part in reversed(parts):
        node = Node({part: node}, node.location)
    return node


def shortened(text: str) -> str:
    """Return a text, or as much of its beginning as a sentence has room for."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _no_yaml(error: Exception, location: Location, *, lines: bool) -> str:
    mark = getattr(error, "problem_mark", None)
    at = Location(location.file, mark.line + 1) if mark is not None and lines else location
    column = f" at column {mark.column + 1}" if mark is not None else ""
    context, problem = (getattr(error, name, None) for name in ("context", "problem"))
    why = problem or getattr(error, "reason", None) or str(error).strip().partition("\n")[0]
    return " ".join(f"{at}: is no YAML{column}: {context or ''} {why}".split())


class _Builder:
    """Makes a tree of what ruamel.yaml composed, with aliases expanded, and counts its values."""

    def __init__(self, yaml: YAML, file: str, *, lines: bool) -> None:
        self._yaml, self._file, self._lines = yaml, file, lines
        self._count = 0

    def node(self, raw: Any, depth: int, key: Any = None) -> Node:
        """Return the tree of a value."""
        if raw is None:
            return Node(None, Location(self._file))
        location = self._location(key or raw)
        self._count += 1
        if self._count > VALUES or depth > DEPTH:
            what = f"{VALUES:,} values" if self._count > VALUES else f"{DEPTH} levels"
            self._refuse(location, f"more than {what}, aliases expanded")
        if isinstance(raw, ScalarNode):
            return Node(self._scalar(raw, location), location, raw.value)
        self._check_tag(raw, location, ("map", "seq"))
        if isinstance(raw, SequenceNode):
            return Node([self.node(item, depth + 1) for item in raw.value], location)
        return Node(dict(self._items(raw, depth)), location)

    def _items(self, raw: MappingNode, depth: int) -> Iterator[tuple[str, Node]]:
        lines: dict[str, Location] = {}
        for key, value in raw.value:
            location = self._location(key)
            if not isinstance(key, ScalarNode) or self._name(key) not in TEXTS:
                what = (
                    shortened(key.value) if isinstance(key, ScalarNode) else "a list or a mapping"
                )
                self._refuse(location, f"a key must be text, not {what}")
            name = str(key.value)
            if name in lines:
                first = f"first in line {lines[name].line}" if self._lines else "remove one"
                self._refuse(location, f"key {shortened(repr(name))} stands twice, {first}")
            lines[name] = location
            yield name, self.node(value, depth + 1, key)

    def _scalar(self, raw: ScalarNode, location: Location) -> Any:
        self._check_tag(raw, location, (*SCALARS, *TEXTS))
        if self._name(raw) in TEXTS:
            return raw.value
        try:
            return self._yaml.constructor.construct_object(raw)
        except (ValueError, YAMLError):
            self._refuse(
                location, f"{shortened(repr(raw.value))} cannot be read as {self._name(raw)}"
            )

    def _check_tag(self, raw: Any, location: Location, allowed: Sequence[str]) -> None:
        if self._name(raw) not in allowed:
            self._refuse(
                location,
                f"the tag {shortened(repr(str(raw.tag)))} is not allowed; write plain values",
            )

    def _name(self, raw: Any) -> str:
        return str(raw.tag).removeprefix(TAG)

    def _location(self, raw: Any) -> Location:
        return Location(self._file, raw.start_mark.line + 1 if self._lines else None)

    def _refuse(self, location: Location, why: str) -> Any:
        raise ConfigError([f"{location}: {why}"])
