"""A method that is added as CONTRIBUTING says passes every test before a line of it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.projects import add_and_test, copy_project, name_in_params, python

from benchmark import bibliography, registry
from benchmark.registry import ROOT
from benchmark.scaffold import method as new_method

NAME = "fresh_start_2"
PARTS = ("benchmark", "methods", "studies", "tests", "docs", "params.yaml", "pyproject.toml")
TESTS = ("test_method_files", "test_catalogue", "test_methods", "test_optimizer", "test_device")
OF_FOLDER = ("TestFolder", "test_catalogue")  # they concern all methods together


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a new method as CONTRIBUTING says, whose tests pass there."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder, PARTS)
    name_in_params(folder, "methods", NAME)
    steps = (["new-method", NAME], ["methods"])
    printed = add_and_test(folder, steps, TESTS, NAME, *OF_FOLDER)
    assert f"wrote methods/{NAME}.py" in printed
    assert "\nwrote docs/methods.md\n" in printed
    return folder


def test_the_new_file_is_clean_and_says_what_to_write(project: Path) -> None:
    path = f"methods/{NAME}.py"
    python(project, "ruff", "check", "--no-cache", path)
    python(project, "ruff", "format", "--no-cache", "--check", path)
    text = (project / path).read_text(encoding="utf-8")
    assert "class FreshStart2(CtrCvr):" in text
    assert 'name = "Fresh start 2"' in text
    assert len(text.splitlines()) <= 30
    assert text.count("TODO") == 4
    assert "$" not in text
    assert (project / "methods" / "references.bib").read_text("utf-8").count("{TODO") == 2


def test_a_new_file_may_cite_a_paper_that_is_known(project: Path) -> None:
    key = next(iter(bibliography.known("methods")))
    before = (project / "methods" / "references.bib").read_text("utf-8")
    try:
        python(project, "benchmark", "new-method", "second_start", "--cite", key)
        text = (project / "methods" / "second_start.py").read_text("utf-8")
    finally:
        (project / "methods" / "second_start.py").unlink()
    assert f'cite = "{key}"' in text
    assert (project / "methods" / "references.bib").read_text("utf-8") == before


def test_an_unknown_paper_is_reported_in_one_sentence() -> None:
    known = next(iter(bibliography.known("methods")))
    sentence = (
        f"the new method cites '{known}x', which is not in methods/references.bib; "
        f"write '{known}' if you mean that, or add the entry there"
    )
    with pytest.raises(LookupError, match=re.escape(sentence)):
        new_method.create("second_start", f"{known}x")
    assert "second_start" not in registry.names("methods")


def test_a_method_added_as_contributing_says_passes_the_tests_and_is_listed(project: Path) -> None:
    assert f"\n## {NAME}\n" in (project / "docs" / "methods.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["", "Fresh", "fresh-start", "fresh start", "2fresh", "_f", "f__g"]
)
def test_names_that_are_not_in_snake_case_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a method: write lower-case words"):
        new_method.create(name)


def test_a_taken_name_is_refused() -> None:
    name = registry.names("methods")[0]
    path = ROOT / "methods" / f"{name}.py"
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=rf"methods/{name}\.py exists"):
        new_method.create(name)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["funnel", "method", "none"])
def test_a_word_of_the_engine_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"'{name}' is a word in benchmark/"):
        new_method.create(name)
    assert name not in registry.names("methods")
