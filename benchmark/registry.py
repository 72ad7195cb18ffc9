"""Plugins: one class per file, found by folder, loaded by path.

``datasets`` is also the import name of a well-known package, hence no plugin is ever imported
by name. The folders of :mod:`benchmark.plugin_folders` are searched first, then the project's own.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from benchmark import plugin_folders
from benchmark.errors import BenchmarkError

ROOT = Path(__file__).resolve().parent.parent  # the project's, or where packages are installed

T = TypeVar("T")


class PluginError(BenchmarkError):
    """A plugin's file raised an error: what it was, and in which line."""


@contextmanager
def located(folder: str, name: str, *unchanged: type[BaseException]) -> Iterator[None]:
    """Add the line to an error that comes from a plugin's file; leave some kinds ``unchanged``.

    Raises:
        PluginError: the file raised an error, or would end the program.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, (PluginError, *unchanged)):
            raise
        if (line := _line(error, path_of(folder, name))) is None:
            raise
        what = error.msg if isinstance(error, SyntaxError) else error
        text = f"{type(error).__name__}: {what}".removesuffix(": ")
        raise PluginError(f"{shown(path_of(folder, name))}, line {line}: {text}") from error


def _line(error: BaseException, path: Path) -> int | None:
    """Return the line of a file that an error comes from, None if it does not."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((x.lineno for x in reversed(frames) if x.filename == str(path)), None)


def home() -> Path:
    """Return where the project's own plugins lie; a wheel has them inside of the package."""
    installed = ROOT / "benchmark"
    return installed if (installed / "methods").is_dir() else ROOT


def places(folder: str) -> list[Path]:
    """Return the folders in which plugins of a kind are searched, in this order."""
    return [root / folder for root in (*plugin_folders.added(), home())]


def names(folder: str) -> list[str]:
    """Return the names of all plugins of a kind, sorted."""
    return sorted({path.stem for place in places(folder) for path in place.glob("[!_]*.py")})


def path_of(folder: str, name: str) -> Path:
    """Return where the file of a plugin lies, or would lie in the project."""
    paths = [place / f"{name}.py" for place in places(folder)]
    return next((path for path in paths if path.is_file()), paths[-1])


def shown(path: Path) -> str:
    """Return a path for messages: relative to the project, if it lies there."""
    return (path.relative_to(home()) if path.is_relative_to(home()) else path).as_posix()


def load(folder: str, name: str, base: type[T]) -> type[T]:
    """Return the one subclass of ``base`` defined in ``folder/name.py``.

    Raises:
        LookupError: no such file, or not exactly one subclass in it.
        PluginError: the file cannot be imported.
    """
    path = path_of(folder, name)
    if not path.is_file():
        raise LookupError(_unknown(folder, name, base))
    module_name = f"benchmark_plugins.{folder}.{name}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    with located(folder, name):
        spec.loader.exec_module(module)
    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module_name
    ]
    if len(classes) != 1:
        what = f"exactly one {base.__name__}, found {len(classes)}"
        raise LookupError(f"{shown(path)} must define {what}")
    return classes[0]


def _unknown(folder: str, name: str, base: type) -> str:
    known = names(folder)
    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    searched = " or ".join(f"{shown(place)}/" for place in reversed(places(folder)))
    return f"no {base.__name__} {name!r} in {searched}{hint} Known: {', '.join(known)}"
