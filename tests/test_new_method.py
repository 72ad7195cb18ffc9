"""``python -m benchmark new-method``: names and papers that are refused, in one sentence."""

from __future__ import annotations

import re

import pytest

from benchmark import bibliography, registry
from benchmark.registry import ROOT
from benchmark.scaffold import method as new_method


def test_an_unknown_paper_is_reported_in_one_sentence() -> None:
    known = next(iter(bibliography.known("methods")))
    sentence = (
        f"the new method cites '{known}x', which is not in methods/references.bib; "
        f"write '{known}' if you mean that, or add the entry there"
    )
    with pytest.raises(LookupError, match=re.escape(sentence)):
        new_method.create("second_start", f"{known}x")
    assert "second_start" not in registry.names("methods")


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
