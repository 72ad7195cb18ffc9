"""Hashes of code that follow what can change a number, and nothing else.

The hash is of the syntax trees, without comments and docstrings, of a module and of all that it
imports of the project, directly or not. Nothing is imported to find that out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from benchmark.files import fingerprint
from benchmark.plugin_folders import KINDS
from benchmark.registry import ROOT, home

PACKAGE = "benchmark"
# Their content is part of every key by its values, so that their text cannot change a number.
BY_VALUE = frozenset({"benchmark/config.py", "benchmark/studies.py"})


def code_key(*roots: Path) -> str:
    """Return the hash of the code that the given files and their imports consist of."""
    return fingerprint(sorted(f"{_name(path)}={_digest(path)}" for path in closure(roots)))


def closure(roots: Iterable[Path]) -> frozenset[Path]:
    """Return the files, and those of the project's package that they import, however indirectly."""
    found, waiting = set[Path](), [path.resolve() for path in roots]
    while waiting:
        path = waiting.pop()
        if path not in found and _name(path) not in BY_VALUE:
            found.add(path)
            waiting.extend(_imports(path))
    return frozenset(found)


def _name(path: Path) -> str:
    return _name_below(ROOT, home(), path)


@lru_cache(maxsize=1024)
def _name_below(root: Path, own: Path, path: Path) -> str:
    in_wheel = own != root and any(path.is_relative_to(own / kind) for kind in KINDS)
    base = own if in_wheel else root
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name


def _digest(path: Path) -> str:
    return _parsed(path, path.stat().st_mtime_ns)[0]


def _imports(path: Path) -> frozenset[Path]:
    return _parsed(path, path.stat().st_mtime_ns)[1]


@lru_cache(maxsize=1024)
def _parsed(path: Path, _: int) -> tuple[str, frozenset[Path]]:
    """Return the hash of a file's code, and which files it imports; cached until it is edited."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    imports = frozenset(file for module in _modules(tree) for file in _files(module))
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
    return fingerprint([ast.dump(tree)]), imports


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield a module and all statements in it; expressions, which are far more, have none."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.expr):
            yield from _statements(child)


def _modules(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that may be modules, wherever they are imported."""
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(module: str) -> list[Path]:
    """Return the file of a module of the project, and those of the packages that it lies in."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return []
    files = [ROOT.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    files.append(ROOT.joinpath(*parts).with_suffix(".py"))
    return [file.resolve() for file in files if file.is_file()]
