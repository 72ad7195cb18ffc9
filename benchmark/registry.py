"""Plugins: one class per file, found by folder, loaded by path.

``datasets`` is also the import name of a well-known package, hence no plugin is ever imported
by name.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent

T = TypeVar("T")


def names(folder: str) -> list[str]:
    """Return the plugin names of a folder below the project root, sorted."""
    return sorted(p.stem for p in (ROOT / folder).glob("*.py") if not p.stem.startswith("_"))


def path_of(folder: str, name: str) -> Path:
    """Return where the file of a plugin lies."""
    return ROOT / folder / f"{name}.py"


def load(folder: str, name: str, base: type[T]) -> type[T]:
    """Return the one subclass of ``base`` defined in ``folder/name.py``.

    Raises:
        LookupError: no such file, or not exactly one subclass in it.
    """
    path = path_of(folder, name)
    if not path.is_file():
        raise LookupError(_unknown(folder, name, base))
    module_name = f"benchmark_plugins.{folder}.{name}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module_name
    ]
    if len(found) != 1:
        raise LookupError(f"{path} must define exactly one {base.__name__}, found {len(found)}")
    return found[0]


def _unknown(folder: str, name: str, base: type) -> str:
    known = names(folder)
    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"no {base.__name__} {name!r} in {folder}/{hint} Known: {', '.join(known)}"
