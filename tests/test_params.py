"""What is wrong in params.yaml is told in one sentence that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from benchmark.params import Params
from benchmark.registry import ROOT


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("datasets: [a\nmethods: b", "params.yaml is no YAML: while parsing a flow sequence"),
        ("", "params.yaml has no sections"),
        ("# only a comment", "params.yaml has no sections"),
        ("- datasets", "params.yaml has no sections"),
    ],
)
def test_what_is_no_configuration_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=says) as error:
        Params.read(tmp_path / "params.yaml")
    assert "\n" not in str(error.value)


def test_a_device_that_workers_could_not_see_is_refused(tmp_path: Path) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["protocol"]["device"] = "cuda:1"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ValidationError, match="should be 'auto', 'cpu' or 'cuda'"):
        Params.read(tmp_path / "params.yaml")
