"""`python -m benchmark datasets`: every dataset in a line, with what of it is here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.layouts import coat

from benchmark import registry
from benchmark.cli import main
from benchmark.data.dataset import Dataset, Source
from benchmark.data.fetching.download import fetch
from benchmark.data.preprocess import preprocess
from benchmark.documentation.cards.listing import readable
from benchmark.files import read_json, write_json
from benchmark.schema import funnel


@pytest.fixture
def printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Printed:
    monkeypatch.chdir(tmp_path)
    return Printed(capsys)


class Printed:
    """The table as the verb prints it, anew at each call."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self) -> dict[str, dict[str, str]]:
        assert main(["datasets"]) == 0
        header, rule, *lines = self.capsys.readouterr().out.split("\n\n")[0].splitlines()
        spans = [match.span() for match in re.finditer("-+", rule)]
        names = [header[slice(*span)].strip() for span in spans]
        rows = [[line[slice(*span)].strip() for span in spans] for line in lines]
        return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def test_every_dataset_has_a_line(printed: Printed) -> None:
    table = printed()
    assert list(table) == registry.names("datasets")
    for name, row in table.items():
        dataset = registry.load("datasets", name, Dataset)()
        assert row["stages"] == funnel(dataset.stages, dataset.proxy_label)
        assert dataset.licence.startswith(row["licence"].rstrip("…"))
        assert (row["here"], row["verified"], row["rows"]) == ("–", "–", "–")
    assert table["oracle_funnel"]["how to get it"] == "simulated"
    assert table["coat_observed"]["how to get it"] == "as coat"
    assert table["kuairec"]["how to get it"] == "downloaded"
    assert table["jd_micro"]["how to get it"] == "by hand"
    assert table["criteo_attribution"]["how to get it"] == "downloaded, maybe with HF_TOKEN"


def test_what_is_here_is_shown_step_by_step(printed: Printed, tmp_path: Path) -> None:
    raw, manual = tmp_path / "data" / "raw" / "coat", tmp_path / "data" / "manual" / "coat"
    coat.write(manual)
    source = Source(file="coat.zip", page="https://example.org")
    fetch("coat", [source], raw, manual, tmp_path / "pins.json")
    size = sum(path.stat().st_size for path in manual.rglob("*") if path.is_file())
    row = printed()["coat"]
    assert (row["here"], row["verified"], row["size"]) == ("raw", "no", readable(size))

    record = read_json(raw / "manifest.json")
    record["files"] = [{**entry, "pin": "first use"} for entry in record["files"]]
    write_json(raw / "manifest.json", record)
    assert printed()["coat"]["verified"] == "first use"
    write_json(raw / "manifest.json", {**record, "verified": True})
    assert printed()["coat"]["verified"] == "yes"

    processed = tmp_path / "data" / "processed" / "coat"
    dataset = registry.load("datasets", "coat", Dataset)()
    preprocess(dataset, "coat", raw, processed, verified=True)
    row = printed()["coat"]
    assert (row["here"], row["rows"], row["verified"]) == ("ready", "1,200", "yes")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (3.05e8, "305 MB"), (1e10, "10 GB")],
)
def test_sizes_are_readable(size: float, text: str) -> None:
    assert readable(size) == text
