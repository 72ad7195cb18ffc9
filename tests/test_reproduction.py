"""Published values beside ours: differences, spreads, pairs of seeds, and the protocol's knobs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from benchmark import registry
from benchmark.config import Protocol
from benchmark.errors import ConfigError
from benchmark.reporting.records import DatasetResults, Fit, Provenance, Task
from benchmark.reporting.studies.reproduction.comparison import Published, orders, rows
from benchmark.reporting.studies.reproduction.text import write
from benchmark.studies import Workspace
from benchmark.training.backbones import blueprint
from benchmark.training.method import Method
from benchmark.training.search import defaults
from benchmark.training.trainer import Data, fit

METRICS = ["cvr_dcg2_random", "cvr_hits2_random"]
FILES = sorted(registry.ROOT.glob("studies/*/published.yaml"))


def task(method: str, by_seed: dict[int, tuple[float, float]]) -> Task:
    origin = Provenance(
        method=method, title=method.title(), citation="", protocol={}, data="", code="",
        versions={}, python="", device="", key="", commit=None,
    )  # fmt: skip
    seeds = tuple(
        Fit(
            method=method,
            hyperparameters={},
            seed=seed,
            value=0.5,
            test=dict(zip(METRICS, both, strict=True)),
        )
        for seed, both in by_seed.items()
    )
    return Task(method, origin, (), seeds, None)


def content() -> dict[str, Any]:
    def entry(method: str, mean: list[float] | None, **more: Any) -> dict[str, Any]:
        return {
            "method": method,
            "variant": "a",
            "published_as": f"{method} & co",
            "mean": mean,
        } | more

    return {
        "source": "A paper", "evidence": "Read.", "spread": "±: unknown.", "metrics": METRICS,
        "variants": {
            "a": {"study": "x", "title": "As it is"},
            "b": {"study": "y", "title": "Less"},
        },
        "contrast": "b", "checked": ["The label."], "differences": ["The split."],
        "entries": [
            entry("up", [0.7, 0.9], spread=[0.02, 0.02]), entry("down", [0.5, 0.9]),
            entry("ours", None), entry("up", [0.6, 0.6], variant="b"),
        ],
    }  # fmt: skip


def variants() -> dict[str, DatasetResults]:
    first = (
        task("up", {0: (0.70, 0.8), 1: (0.72, 1.1)}),
        task("down", {0: (0.60, 0.7), 1: (0.62, 1.0), 2: (9.0, 9.0)}),
        task("ours", {0: (0.1, 0.1)}),
    )
    return {
        "a": DatasetResults("log", None, first),
        "b": DatasetResults("log", None, (task("up", {1: (0.4, 0.4)}),)),
    }


def test_differences_are_ours_minus_theirs_and_judged_by_their_spread() -> None:
    found = list(rows(Published.model_validate(content()), variants()))
    assert len(found) == 4 * 2
    assert found[0].difference == pytest.approx(0.01)
    assert found[1].difference == pytest.approx(0.05)
    assert [row.within for row in found[:4]] == [True, False, None, None]
    assert found[4].paper is None
    assert found[4].difference is None
    first, own = found[0].contrast, found[6]
    assert first is not None
    assert first.tolist() == [0.4]
    assert own.contrast is None
    assert own.difference == pytest.approx(-0.2)


def test_orders_are_the_papers_and_checked_on_the_seeds_that_both_have() -> None:
    found = list(orders(Published.model_validate(content()), variants(), 0.95))
    named = [(pair.better.method, pair.better.variant, pair.worse.method) for pair in found]
    assert named == [("up", "a", "up"), ("up", "a", "down"), ("down", "a", "up")]
    across, within = found[0].ours, found[1].ours
    assert found[1].published == pytest.approx(0.1)
    assert within is not None
    assert (within.gain.mean, within.verdict) == (pytest.approx(0.1), "holds")
    assert across is not None
    assert across.gain.mean == pytest.approx(0.91 - 0.4)
    assert across.verdict == "undecided"
    assert found[1].contrast is None


def test_the_three_files_tell_the_same(tmp_path: Path) -> None:
    write(Published.model_validate(content()), variants(), 0.95, tmp_path)
    page = (tmp_path / "reproduction.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.split("|")] for line in page.splitlines()]
    first = ["0.7000 ± 0.0200", "0.7100 ± 0.0141 (2)", "+0.0100", "yes", "0.4000 (1)"]
    assert ["", "up & co", "DCG@2", *first, ""] in cells
    assert "1 of 2 values lie within the paper's ±." in page
    assert "- Ours: 1 holds, 0 equivalent, 2 undecided, 0 reversed, of 3." in page
    assert "- The split." in page
    table = pd.read_csv(tmp_path / "reproduction.csv")
    assert list(table["metric"]) == METRICS * 4
    assert table["ours_mean"][1] == pytest.approx(0.95)
    tex = (tmp_path / "reproduction.tex").read_text(encoding="utf-8")
    assert r"up \& co & paper & $0.7000_{\pm 0.0200}$ & $0.9000_{\pm 0.0200}$ \\" in tex
    assert r" & ours & $0.1000$ & $0.1000$ \\" in tex


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"metrics": METRICS[:1]}, r":\d+: entries\[0\].mean is .*; it must have 1 values"),
        ({"contrast": "c"}, r":\d+: contrast is 'c'; it must be a variant; known: a, b"),
        ({"paper": "x"}, r":\d+: paper is no key"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(content() | change), encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        Published.read(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_what_a_study_publishes_can_be_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(registry.ROOT)
    found = Published.read(path)
    studies = {name: Workspace(variant.study).params for name, variant in found.variants.items()}
    for entry in found.entries:
        assert entry.method in studies[entry.variant].methods
    for params in studies.values():
        spaces = {
            name: set(registry.load("methods", name, Method).search_space)
            for name in params.methods
        }
        for name, value in params.protocol.defaults.items():
            if isinstance(value, Mapping):
                assert value.keys() <= spaces[name]
            else:
                assert any(name in space for space in spaces.values())
        assert set(found.metrics) <= set(params.leaderboard.columns)
    assert len({params.datasets for params in studies.values()}) == 1


def test_the_protocol_may_replace_published_defaults(protocol: Protocol) -> None:
    changed = protocol.model_copy(update={"defaults": {"propensity_floor": 0.07, "other": 1}})
    kind = registry.load("methods", "multi_ipw", Method)
    assert defaults(kind, changed) == defaults(kind, protocol) | {"propensity_floor": 0.07}


def test_the_last_epoch_may_be_kept(processed: Path, protocol: Protocol) -> None:
    data = Data.read(processed, torch.device("cpu"))
    kind = registry.load("methods", "naive", Method)
    method = kind(blueprint(data.schema, protocol.backbone))
    last = protocol.model_copy(update={"kept_epoch": "last", "max_epochs": 6, "patience": 1})
    result = fit(method, data, last, {"learning_rate": 0.05, "weight_decay": 0.0}, seed=0)
    assert (len(result.history), result.best_epoch) == (6, 5)
    assert int(np.argmax(result.history)) != 5
