"""What the files of ``methods/`` declare and contain, checked on every one of them."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from optuna.distributions import BaseDistribution

from benchmark import registry
from benchmark.config import Params
from benchmark.training.method import Method

NAMES = registry.names("methods")
METHODS = {name: registry.load("methods", name, Method) for name in NAMES}
ALLOWED_IMPORTS = ("torch", "optuna.distributions", "benchmark.training", "benchmark.schema")

every_method = pytest.mark.parametrize("name", NAMES)


def source(name: str) -> Path:
    return registry.ROOT / "methods" / f"{name}.py"


# --- the folder


def test_configuration_names_methods_of_the_folder_once() -> None:
    assert len(NAMES) >= 10
    named = Params.read(registry.ROOT / "params.yaml").methods
    assert len(set(named)) == len(named) >= 10
    assert set(named) <= set(NAMES)


def test_files_are_short() -> None:
    lengths = {name: len(source(name).read_text("utf-8").splitlines()) for name in NAMES}
    assert {name: lines for name, lines in lengths.items() if lines > 80} == {}
    assert median(lengths.values()) <= 75


def test_titles_are_unique_and_one_key_means_one_entry() -> None:
    assert len({method.name for method in METHODS.values()}) == len(NAMES)
    entries = {inspect.cleandoc(method.citation) for method in METHODS.values()}
    assert len({entry.splitlines()[0] for entry in entries}) == len(entries)


def test_engine_never_names_a_method() -> None:
    files = sorted((registry.ROOT / "benchmark").rglob("*.py"))
    assert len(files) > 10
    name = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(NAMES)})(?![A-Za-z0-9])")
    for path in files:
        for line, text in code_words(ast.parse(path.read_text("utf-8"))):
            assert not name.search(text), f"{path}:{line} names a method: {text}"


def code_words(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the identifiers and strings of a module with their lines, docstrings left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = None
    for node in ast.walk(tree):
        for word in ("id", "attr", "name", "arg", "module", "value"):
            if isinstance(text := getattr(node, word, None), str):
                yield getattr(node, "lineno", 0), text


# --- what a file declares


@every_method
def test_search_space_matches_constructor(name: str) -> None:
    parameters = inspect.signature(METHODS[name].__init__).parameters
    assert list(parameters)[:2] == ["self", "blueprint"]
    tuned = {key: p for key, p in parameters.items() if key not in ("self", "blueprint")}
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in tuned.values())
    assert list(tuned) == list(METHODS[name].search_space)
    for key, distribution in METHODS[name].search_space.items():
        assert isinstance(distribution, BaseDistribution)
        default = tuned[key].default
        assert distribution._contains(distribution.to_internal_repr(default)), key


@every_method
def test_citation_is_bibtex_with_a_pointer(name: str) -> None:
    entry = inspect.cleandoc(METHODS[name].citation)
    assert re.match(r"@\w+\{[a-z]+\d{4}[a-z0-9]+,\n", entry)
    assert entry.endswith("}")
    assert entry.count("{") == entry.count("}")
    fields = set(re.findall(r"^\s*(\w+)\s*=\s*\{", entry, re.MULTILINE))
    assert {"title", "year"} <= fields
    assert fields & {"doi", "eprint", "url"}


@every_method
def test_docstring_states_evidence_and_differences(name: str) -> None:
    text = inspect.getdoc(METHODS[name]) or ""
    assert "Evidence:" in text
    assert "Differs from the paper:" in text
    assert ".. math::" in text


@every_method
def test_stopped_gradients_are_explained(name: str) -> None:
    """The shared losses stop gradients; a method that does so itself says where, and why."""
    code = source(name).read_text("utf-8")
    if ".detach(" in code or "no_grad" in code:
        assert "without gradient" in (inspect.getdoc(METHODS[name]) or "")


@every_method
def test_imports_are_the_public_ones(name: str) -> None:
    for node in ast.walk(ast.parse(source(name).read_text("utf-8"))):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            modules = [node.module or ""]
        for module in modules:
            assert (
                any(module == known or module.startswith(f"{known}.") for known in ALLOWED_IMPORTS)
                or module.split(".")[0] in sys.stdlib_module_names
            ), module
