"""``docs/methods.md`` says what the files of ``methods/`` declare, today."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from benchmark import registry
from benchmark.documentation import catalogue
from benchmark.documentation.method_pages import pages
from benchmark.training.hyperparameters import tuned
from benchmark.training.method import Method

NAMES = registry.names("methods")


class Declared(Method):
    r"""Do :math:`a_b`, ``plainly``.

    Evidence: a guess
    over two lines.

    Differs from the paper: :math:`x, y` and ``z``.

    Origin of the defaults: ``rate`` is the paper's, ``kind`` and
    ``count`` are ours.
    """

    name = "Declared"
    cite = "someone2001declared"
    citation = """@article{someone2001declared,
      title   = {{DECL}: A Title
                 over Lines},
      journal = {Journal},
      year    = {2001},
      doi     = {10.1/2},
      eprint  = {1.2},
    }"""
    requires = frozenset({"conversion", "click"})

    rate: float = tuned(0.5, low=0.001, high=1)
    kind: str = tuned("a", choices=("a", "b"))
    count: int = tuned(2, low=1, high=3, log=False)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> type:
    """A copy of the class above, which is then the only method."""
    copy = type("Copy", (Declared,), {"__doc__": Declared.__doc__})
    monkeypatch.setattr(registry, "names", lambda _: ["declared"])
    monkeypatch.setattr(registry, "load", lambda *_: copy)
    return copy


def test_the_file_is_what_would_be_generated() -> None:
    path = registry.ROOT / "docs" / "methods.md"
    assert path.read_text(encoding="utf-8") == catalogue.markdown(), (
        "run `python -m benchmark methods`"
    )


def test_every_method_has_a_row_and_a_section_in_order() -> None:
    text = catalogue.markdown()
    rows = re.findall(r"^\| \[.+?\]\(#(\w+)\) \|", text, re.MULTILINE)
    assert rows == re.findall(r"^## (\w+)$", text, re.MULTILINE) == NAMES
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {6}
    for name in NAMES:
        method = registry.load("methods", name, Method)
        path = os.path.relpath(registry.path_of("methods", name), registry.ROOT / "docs")
        assert f"[{method.name}]({path})" in text
        assert all(f"`{option}`" in text for option in method.search_space)


@pytest.mark.usefixtures("only")
def test_what_is_declared_is_what_is_written() -> None:
    assert catalogue.markdown().removeprefix(catalogue.HEAD) == (
        "| [Declared](#declared) | [DECL: A Title over Lines](https://doi.org/10.1/2), "
        "Journal 2001 | click, conversion | a guess over two lines. | $`x, y`$ and `z`. |\n"
        "\n## declared\n"
        "\n[Declared](../methods/declared.py), after `someone2001declared`: "
        "Do $`a_b`$, `plainly`.\n"
        "\n**Tuned:** `rate` 0.001 to 1 (log), default 0.5; `kind` a or b, default a; "
        "`count` 1 to 3, default 2.\n"
        "\n**Origin of the defaults:** `rate` is the paper's, `kind` and `count` are ours.\n"
    )


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("__doc__", "Do.\n\nEvidence: none.\n", "declared.py lacks a paragraph 'Differs from"),
        (
            "__doc__",
            "Do.\n\nEvidence: none.\n\nDiffers from the paper: not.",
            "declared.py lacks a paragraph 'Origin of",
        ),
        (
            "citation",
            "@misc{a2000b, title = {T}, year = {2000}}",
            "'someone2001declared' in methods/references.bib, which methods/declared.py cites, "
            "needs one of doi",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    only: type, attribute: str, value: str, message: str
) -> None:
    setattr(only, attribute, value)
    with pytest.raises(ValueError, match=message):
        catalogue.markdown()


@pytest.mark.usefixtures("only")
def test_a_page_has_the_rows_and_costs_of_the_method_in_each_published_table(
    tmp_path: Path,
) -> None:
    assert "It stands in no published table." in pages(tmp_path)["declared"]
    score = {"text": "0.7 ± 0.1", "gain": {"text": "+0.2 ± 0.1", "verdict": "better"}}
    entries = [
        {"method": "declared", "scores": {"auc": score}, "parameters": 1234,
         "seconds_per_fit": 1.5, "rank": 2, "rank_low": 1, "rank_high": 3},
        {"method": "other", "scores": {"auc": score | {"text": "0.9"}}},
    ]  # fmt: skip
    setting = {"name": "log", "title": "A log", "headline": ["auc"], "entries": entries}
    about = {"label": "AUC", "population": "clicks", "arrow": "↑"}
    content = {"title": "A study", "metrics": {"auc": about}, "settings": [setting]}
    study = tmp_path / "studies" / "some"
    study.mkdir(parents=True)
    (study / "leaderboard.json").write_text(json.dumps(content), encoding="utf-8")
    (study / "runs.csv").write_text(
        "dataset,method,seconds,sample_gradients\n"
        "log,declared,1,1000\nlog,declared,2,3000\nlog,other,9,9\nelse,declared,9,9\n",
        encoding="utf-8",
    )
    page = pages(tmp_path)["declared"]
    cells = re.findall(r"^   [* ] - (.+)$", page, re.MULTILINE)
    assert cells[9:] == [
        "A study: A log", "AUC, clicks ↑", "0.7 ± 0.1", "+0.2 ± 0.1", "better", "2 [1–3]",
        "1,234", "1.5", "2,000",
    ]  # fmt: skip
    assert ":Needs: click, conversion" in page
    assert "``rate`` 0.001 to 1 (log), default 0.5" in page
    assert "A Title over Lines <https://doi.org/10.1/2>`__" in page
