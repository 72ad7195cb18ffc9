"""``params.yaml``: what is wrong with it is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmark.config import Params, Protocol
from benchmark.registry import ROOT


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no keys"),
        ("- naive", "holds no keys"),
        ("naive", "holds no keys"),
        ("seeds: [1, 2\nmethods: x", r"is no YAML: .*line 2, column 8"),
        ("a: b: c", r"is no YAML: mapping values are not allowed here .*line 1, column 5"),
    ],
)
@pytest.mark.parametrize("changes", [0, 1])
def test_a_file_that_cannot_be_read_is_named(
    changes: int, text: str, sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"params\.yaml {sentence}") as error:
        Params.read(*[ROOT / "params.yaml"] * changes, file)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)


def test_a_device_is_a_kind_of_device(protocol: Protocol) -> None:
    given = protocol.model_dump()
    for device in ("auto", "cpu", "cuda"):
        assert Protocol.model_validate(given | {"device": device}).device == device
    with pytest.raises(ValidationError, match="no device 'cuda:1': it is auto, cpu or cuda, and"):
        Protocol.model_validate(given | {"device": "cuda:1"})
