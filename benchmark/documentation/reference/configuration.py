"""The reference of ``params.yaml``, made from its models."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from benchmark.configuration.allowed import allowed, members
from benchmark.documentation.reference.markdown import cell, generated, rows, slug
from benchmark.training.backbones import NAMES, OPTIONS

HEAD = """\
# Configuration

`params.yaml` is the only configuration. A study's `params.yaml` states only what differs from it.
An unknown key, or a value that is not allowed, is refused in one sentence. The options of each
dataset are listed on its [card](../datasets.md).

"""


def markdown(model: type[BaseModel]) -> str:
    """Return the page: a table of the top-level keys, then one of each section."""
    tables = [_section(name, section) for name, section in sections(model)]
    return generated(__name__) + HEAD + "\n".join((*tables, _backbones()))


def sections(model: type[BaseModel], name: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield each section with its path, such as ``protocol.tuning``, the whole file first."""
    yield name, model
    for key, info in model.model_fields.items():
        for kind in members(info):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from sections(kind, f"{name}.{key}".lstrip("."))


def _backbones() -> str:
    """Return the names of all backbones and the options of those that have any."""
    names = ", ".join(f"`{name}`" for name in NAMES)
    head = "## Options of the backbones"
    about = f"`protocol.backbone.name` is one of {names}. Those without a table have no options."
    tables = [f"### {name}\n\n{_table(name, kind)}" for name, kind in OPTIONS.items()]
    return "\n\n".join((head, about, "\n".join(tables)))


def _section(name: str, model: type[BaseModel]) -> str:
    title = f"`{name}`" if name else "Top-level keys"
    about = "" if not name else f"{cell(inspect.getdoc(model) or '')}\n\n"
    return f"## {title}\n\n{about}{_table(name, model)}"


def _table(name: str, model: type[BaseModel]) -> str:
    lines = [
        (f"`{key}`", cell(info.description or ""), _allowed(name, key, info), _default(info))
        for key, info in model.model_fields.items()
    ]
    return rows(("key", "meaning", "allowed", "default"), lines)


def _allowed(section: str, key: str, info: FieldInfo) -> str:
    """Return what a key may hold in words; of a section, a link to its table."""
    if any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in members(info)):
        path = f"{section}.{key}".lstrip(".")
        return f"the keys of [`{path}`](#{slug(path)})"
    return cell(allowed(info))


def _default(info: FieldInfo) -> str:
    """Return the default as YAML has it; a section's are those of its keys."""
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return "its keys' defaults"
    if isinstance(default, tuple):
        default = list(default)
    words = {None: "null", True: "true", False: "false"}
    return f"`{words[default]}`" if default is None or isinstance(default, bool) else f"`{default}`"
