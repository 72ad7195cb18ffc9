"""``docs/methods.md`` says what the files of ``methods/`` declare, today."""

from __future__ import annotations

import re

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from benchmark import registry
from benchmark.documentation import catalogue
from benchmark.training.method import Method

TEXT = catalogue.markdown()
NAMES = registry.names("methods")


class Declared:
    r"""Do :math:`a_b`, ``plainly``.

    Evidence: a guess
    over two lines.

    Differs from the paper: :math:`x, y` and ``z``.
    """

    name = "Declared"
    citation = """
    @article{someone2001declared,
      title   = {{DECL}: A Title
                 over Lines},
      journal = {Journal},
      year    = {2001},
      doi     = {10.1/2},
      eprint  = {1.2},
    }
    """
    requires = frozenset({"conversion", "click"})
    search_space = {
        "rate": FloatDistribution(0.001, 1, log=True),
        "kind": CategoricalDistribution(["a", "b"]),
    }

    def __init__(self, _blueprint: object, *, rate: float = 0.5, kind: str = "a") -> None:
        """Take what is tuned."""


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> type:
    """A copy of the class above, which is then the only method."""
    copy = type("Copy", (Declared,), {"__doc__": Declared.__doc__})
    monkeypatch.setattr(registry, "names", lambda _: ["declared"])
    monkeypatch.setattr(registry, "load", lambda *_: copy)
    return copy


def test_the_file_is_what_would_be_generated() -> None:
    path = registry.ROOT / "docs" / "methods.md"
    assert path.read_text(encoding="utf-8") == TEXT, "run `python -m benchmark methods`"


def test_every_method_has_a_row_and_a_section_in_order() -> None:
    rows = re.findall(r"^\| \[.+?\]\(#(\w+)\) \|", TEXT, re.MULTILINE)
    assert rows == re.findall(r"^## (\w+)$", TEXT, re.MULTILINE) == NAMES
    tables = [line for line in TEXT.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {6}
    for name in NAMES:
        method = registry.load("methods", name, Method)
        assert f"[{method.name}](../methods/{name}.py)" in TEXT
        assert all(f"`{option}`" in TEXT for option in method.search_space)


@pytest.mark.usefixtures("only")
def test_what_is_declared_is_what_is_written() -> None:
    assert catalogue.markdown().removeprefix(catalogue.HEAD) == (
        "| [Declared](#declared) | [DECL: A Title over Lines](https://doi.org/10.1/2), "
        "Journal 2001 | click, conversion | a guess over two lines. | $`x, y`$ and `z`. |\n"
        "\n## declared\n"
        "\n[Declared](../methods/declared.py), after `someone2001declared`: "
        "Do $`a_b`$, `plainly`.\n"
        "\n**Tuned:** `rate` 0.001 to 1 (log), default 0.5; `kind` a or b, default a.\n"
    )


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("__doc__", "Do.\n\nEvidence: none.\n", "declared.py lacks a paragraph 'Differs from"),
        ("citation", "A paper.", "declared.py is not BibTeX"),
        ("citation", "@misc{a2000b, title = {T}, year = {2000}}", "declared.py needs one of doi"),
        ("citation", Declared.citation + "@misc{a2000b,}", "declared.py must cite one BibTeX"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    only: type, attribute: str, value: str, message: str
) -> None:
    setattr(only, attribute, value)
    with pytest.raises(ValueError, match=message):
        catalogue.markdown()
