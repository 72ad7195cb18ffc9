"""What the files of ``methods/`` declare and contain, checked on every one of them."""

from __future__ import annotations

import ast
import inspect
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import yaml
from helpers.contract import every, kind, line_of, reject, require
from optuna.distributions import BaseDistribution

from benchmark import bibliography, registry
from benchmark.config import Params
from benchmark.reporting import cards, page

NAMES = registry.names("methods")
ALLOWED_IMPORTS = (
    "torch",
    "benchmark.method",
    "benchmark.training.modules",
    "benchmark.training.delays",
)
LONGEST = 160

every_method = every(NAMES)


def source(name: str) -> Path:
    return registry.path_of("methods", name)


class TestFolder:
    def test_a_family_names_methods_of_the_folder_once(self) -> None:
        text = (registry.ROOT / "methods" / cards.FAMILIES).read_text(encoding="utf-8")
        named = [name for names in yaml.safe_load(text).values() for name in names]
        assert sorted(named) == sorted(set(named))
        assert set(named) <= set(NAMES)

    def test_the_card_of_every_method_has_formula_evidence_and_differences(self) -> None:
        found = cards.read(NAMES)
        assert list(found) == NAMES
        for name, card in found.items():
            assert card.summary, name
            assert card.formulas, name
            assert card.evidence, name
            assert card.differs, name
            assert (registry.ROOT / card.file).samefile(registry.path_of("methods", name))
            page.formula(card.formulas[0])

    def test_configuration_names_methods_of_the_folder_once(self) -> None:
        assert len(NAMES) >= 10
        named = Params.read(registry.ROOT / "params.yaml").methods
        assert len(set(named)) == len(named) >= 10
        assert set(named) <= set(NAMES)

    def test_half_of_the_files_have_at_most_fifty_lines(self) -> None:
        assert median(len(source(name).read_text("utf-8").splitlines()) for name in NAMES) <= 50

    def test_every_entry_of_the_bibliography_is_cited(self) -> None:
        cited = {kind(name).cite for name in NAMES}
        assert cited == set(bibliography.known("methods"))

    def test_engine_never_names_a_method(self) -> None:
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
def test_file_is_at_most_160_lines_long(name: str) -> None:
    lines = len(source(name).read_text("utf-8").splitlines())
    require(lines <= LONGEST, name, f"the file has {lines} lines; {LONGEST} are allowed")


@every_method
def test_title_is_given_and_belongs_to_one_method(name: str) -> None:
    title = getattr(kind(name), "name", None)
    given = isinstance(title, str) and title.strip()
    require(given, name, 'the class lacks `name = "…"`, its title in tables', "name")
    same = [other for other in NAMES if other != name and title_of(other) == title]
    require(not same, name, f"{title!r} is also the name of {', '.join(same)}; change one", "name")


def title_of(name: str) -> str | None:
    """Return the title of a method, None where the file has none or cannot be loaded."""
    try:
        return kind(name).name
    except Exception:  # noqa: BLE001 (its own tests say what is wrong)
        return None


@every_method
def test_hyperparameters_are_declared_by_tuned(name: str) -> None:
    for retired, instead in {
        "search_space": "declare each hyper-parameter by tuned(…)",
        "citation": 'write `cite = "…"`, a key of methods/references.bib',
        "__init__": "make the layers in build(self, blueprint)",
    }.items():
        absent = line_of(name, retired) is None
        require(absent, name, f"a method does not set {retired}; {instead} instead", retired)
    method = kind(name)
    assert list(method.search_space) == list(method.defaults)
    for key, distribution in method.search_space.items():
        assert isinstance(distribution, BaseDistribution)
        assert distribution._contains(distribution.to_internal_repr(method.defaults[key])), key
        ends = [getattr(distribution, end, 0) for end in ("low", "high")]
        sentence = f"{key} has the range {ends[0]} to {ends[1]}; let both be finite"
        require(all(map(math.isfinite, ends)), name, sentence, key)


@every_method
def test_citation_is_an_entry_with_a_pointer(name: str) -> None:
    given = isinstance(getattr(kind(name), "cite", None), str)
    require(given, name, 'the class lacks `cite = "…"`, the key of its paper', "cite")
    try:
        entry = kind(name).citation
    except LookupError as error:
        reject(name, str(error.args[0]).removeprefix(f"methods/{name}.py "), "cite")
    shape = re.match(r"@\w+\{[a-z]+\d{4}[a-z0-9]+,\n", entry) and entry.endswith("}")
    example = f"{kind(name).cite!r} in methods/references.bib"
    require(shape, name, f"{example} is no key like author2020word; rename it", "cite")
    for field in ("title", "year"):
        found = bibliography.field(entry, field)
        require(found, name, f"{example} lacks a {field}; add it", "cite")
    pointers = [bibliography.field(entry, field) for field in ("doi", "eprint", "url")]
    require(any(pointers), name, f"{example} lacks a doi, eprint or url; add one", "cite")


@every_method
def test_docstring_states_formula_evidence_and_differences(name: str) -> None:
    text = inspect.getdoc(kind(name)) or ""
    require(".. math::" in text, name, "the docstring lacks the loss as a `.. math::` block")
    for part in ("Evidence", "Differs from the paper"):
        found = re.search(rf"^{part}: \S", text, re.MULTILINE)
        require(found, name, f"the docstring lacks a paragraph `{part}: …`; write it")


@every_method
def test_docstring_states_the_origin_of_every_default(name: str) -> None:
    text, space = inspect.getdoc(kind(name)) or "", kind(name).search_space
    found = re.search(r"^Origin of the defaults: (.+?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    if space:
        part = "Origin of the defaults"
        require(found, name, f"the docstring lacks a paragraph `{part}: …`; write it")
        absent = [key for key in space if f"``{key}``" not in (found[1] if found else "")]
        missing = ", ".join(f"``{key}``" for key in absent)
        require(not absent, name, f"`{part}:` does not mention {missing}; say whose value it is")


@every_method
def test_stopped_gradients_are_explained(name: str) -> None:
    """The shared losses stop gradients; a method that does so itself says where, and why."""
    code = source(name).read_text("utf-8")
    stops = ".detach(" in code or "no_grad" in code
    text = " ".join((inspect.getdoc(kind(name)) or "").split())
    told = re.search(r"without gradient|no gradient", text)
    sentence = 'the file stops a gradient; say in the docstring what is "without gradient"'
    require(told or not stops, name, sentence)


@every_method
def test_imports_are_the_public_ones(name: str) -> None:
    for node in ast.walk(ast.parse(source(name).read_text("utf-8"))):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = ["." * node.level + (node.module or "")]
        for module in modules:
            known = any(module == m or module.startswith(f"{m}.") for m in ALLOWED_IMPORTS)
            if not known and module.split(".")[0] not in sys.stdlib_module_names:
                reject(name, f"the file imports {module}; import from benchmark.method instead")
