"""Keys of code: what can change a number changes them, and nothing else does."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.projects import copy_project

from benchmark import code_keys, registry
from benchmark.code_keys import closure, code_key
from benchmark.execution.code import ENGINE
from benchmark.registry import ROOT

METHODS = registry.names("methods")[::4]
Keys = dict[str, str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the code, whose keys are asked for."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder, ("benchmark", "methods"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_keys, "ROOT", folder)
        yield folder


@pytest.fixture(scope="module")
def before(project: Path) -> Keys:
    return keys(project)


def roots(project: Path, method: str) -> list[Path]:
    engine = [project / path.relative_to(ROOT) for path in ENGINE]
    return [*engine, project / "methods" / f"{method}.py"]


def keys(project: Path) -> Keys:
    return {method: code_key(*roots(project, method)) for method in METHODS}


def changed(before: Keys, after: Keys) -> set[str]:
    return {method for method in METHODS if before[method] != after[method]}


@contextmanager
def edited(change: Callable[[str], str], *paths: Path) -> Iterator[None]:
    """Let files have another text for as long as this lasts."""
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    for path, text in texts.items():
        path.write_text(change(text), encoding="utf-8")
    yield
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


def with_a_statement(text: str) -> str:
    return f"{text}\nEDITED = 1\n"


def with_other_comments(text: str) -> str:
    return "\n".join(f"{line}  # edited" if line == "" else line for line in text.split("\n"))


def with_other_docstrings(text: str) -> str:
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            at = node.body[0].lineno - 1
            lines[at] = lines[at].replace('"""', '"""Edited: ', 1)
    return "".join(lines)


@pytest.mark.parametrize("change", [with_other_comments, with_other_docstrings])
def test_an_edit_of_comments_or_docstrings_leaves_every_key(
    change: Callable[[str], str], project: Path, before: Keys
) -> None:
    files = [path for path in project.rglob("*.py") if path.stat().st_size]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    with edited(change, *files):
        assert all(texts[path] != path.read_text(encoding="utf-8") for path in files)
        assert keys(project) == before


def test_an_edit_of_a_method_changes_its_key_alone(project: Path, before: Keys) -> None:
    with edited(with_a_statement, project / "methods" / f"{METHODS[3]}.py"):
        assert changed(before, keys(project)) == {METHODS[3]}


def test_an_edit_of_a_module_of_a_few_methods_changes_their_keys_alone(
    project: Path, before: Keys
) -> None:
    imports = {method: closure(roots(project, method)) for method in METHODS}
    count = Counter(path for found in imports.values() for path in found)
    few = [path for path, n in count.items() if n < len(METHODS) and path.parent.name != "methods"]
    assert few, "some module serves a few methods only"
    for path in few:
        with edited(with_a_statement, path):
            assert changed(before, keys(project)) == {m for m in METHODS if path in imports[m]}


NEEDED = [
    "training/trainer.py",
    "metrics/evaluation.py",
    "execution/fitting.py",
    "schema.py",
    "training/nuisances.py",  # imported within a function
    "training/__init__.py",
]
NEEDLESS = [
    "reporting/leaderboard.py",
    "execution/run.py",
    "execution/jobs.py",
    "execution/executors/slurm.py",
    "data/preprocess.py",
    "config.py",  # its values are in the key
    "cli.py",
]


@pytest.mark.parametrize("name", NEEDED)
def test_an_edit_of_what_every_fit_needs_changes_every_key(
    name: str, project: Path, before: Keys
) -> None:
    with edited(with_a_statement, project / "benchmark" / name):
        assert changed(before, keys(project)) == set(METHODS)


def test_an_edit_of_what_changes_no_number_leaves_every_key(project: Path, before: Keys) -> None:
    with edited(with_a_statement, *(project / "benchmark" / name for name in NEEDLESS)):
        assert keys(project) == before


def test_the_values_of_constants_count(project: Path) -> None:
    path = project / "benchmark" / "training" / "own.py"
    path.write_text('RATE = 0.1\n"""What it is."""\n', encoding="utf-8")
    first = code_key(path)
    with edited(lambda text: text.replace("0.1", "0.2"), path):
        assert code_key(path) != first
    assert code_key(path) == first
