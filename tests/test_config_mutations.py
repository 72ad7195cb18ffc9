"""Random mistakes in ``params.yaml``: each is answered by params with a meaning, or by one line."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest
from helpers import mutations
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.configuration.documents import parse, written
from benchmark.errors import ConfigError

COUNT = 40
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inside: (
        st.lists(inside, max_size=4)
        | st.dictionaries(st.text("abcXYZ_é-.", min_size=1, max_size=8), inside, max_size=4)
    ),
    max_leaves=15,
)


def test_every_mutation_is_answered_by_params_with_a_meaning_or_by_one_line(
    tmp_path: Path,
) -> None:
    answers = {"refused": 0, "accepted": 0}
    for seed in range(COUNT):
        kind, text = mutations.mutated(seed)
        answer, fault = mutations.outcome(text, tmp_path / "params.yaml")
        assert not fault, (seed, kind, text)
        answers[answer] += 1
    assert min(answers.values()) > 1


def test_a_wrong_answer_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "params.yaml"
    assert mutations.outcome(mutations.WHOLE, file) == ("accepted", "")

    def answers(*sentences: str) -> tuple[str, str]:
        def refuse(_: object) -> None:
            raise ConfigError(sentences)

        monkeypatch.setattr(mutations, "check_names", refuse)
        return mutations.outcome(mutations.WHOLE, file)

    assert answers(f"{file}:1: a is 3; it must be text") == ("refused", "")
    assert "more than one line" in answers(f"{file}: a\nb")[1]
    assert "not for people" in answers(f"{file}: see https://example.org")[1]
    assert "no file" in answers("a is 3")[1]
    assert "characters" in answers(f"{file}: {'x' * 2000}")[1]
    monkeypatch.setattr(mutations, "check_names", lambda _: 1 / 0)
    assert mutations.outcome(mutations.WHOLE, file)[0] == "traceback"
    monkeypatch.setattr(mutations, "check_names", lambda _: time.sleep(60))
    monkeypatch.setattr(mutations, "PATIENCE", 0.01)
    hung = "hung", "no answer within 0.01 seconds"
    assert mutations.outcome(mutations.WHOLE, file) == hung


@given(VALUES)
@settings(max_examples=100, deadline=None, database=None)
def test_what_is_written_is_read(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False).replace("Infinity", ".inf")
    found = parse(text, "file").plain()
    assert found == written(value, "file").plain() == value
    if isinstance(value, float) and math.isfinite(value):
        assert isinstance(found, float)


@given(st.text(max_size=80))
@settings(max_examples=100, deadline=None, database=None)
def test_any_text_is_a_value_or_one_sentence(text: str) -> None:
    said = "file"
    try:
        parse(text, "file")
    except ConfigError as error:
        said = str(error)
    assert said.startswith("file")
    assert not set("\n\r\x00\x85") & set(said)
