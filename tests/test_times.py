"""Times of clicks and conversions: the data's rules, simulated delays, what the trainer takes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from benchmark import registry
from benchmark.config import Protocol
from benchmark.data.dataset import DataError, Dataset
from benchmark.data.preprocess import preprocess
from benchmark.data.simulation.generator import exponential_below
from benchmark.errors import ConfigError
from benchmark.schema import TIMES, Schema
from benchmark.training.backbones import blueprint
from benchmark.training.batch import Batch
from benchmark.training.delays.feedback import DelayedFeedback
from benchmark.training.delays.schedule import Schedule, at_the_end, settling
from benchmark.training.method import Method, Phase, Update
from benchmark.training.trainer import Data, fit

KIND = registry.load("datasets", "oracle_funnel", Dataset)
CPU = torch.device("cpu")
Column = list[Any]


# --- rules


class Timed(Dataset):
    """A dataset made of the columns that a test gives, with an attribution window of 2."""

    title = "Timed"
    citation = "@misc{timed, title = {Timed}}"
    licence = "MIT"
    claims = "None."
    stages = ("impression", "click", "conversion")
    categorical = ("city",)
    attribution_window: float | None = 2.0

    def __init__(self, **changes: Column) -> None:
        super().__init__()
        given: dict[str, Column] = {
            "split": ["train"] * 5 + ["valid"] + ["test"],
            "city": ["Rome"] * 7,
            "click": [1, 0, 1, 1, 1, 1, 0],
            "conversion": [1, None, 0, 1, 0, 1, None],
            "click_time": [0, None, 1, 2, 4, 5, None],
            "conversion_delay": [0, None, None, 2, None, 1, None],
        }
        self.columns = given | changes

    def table(self, raw: Path) -> pl.LazyFrame:
        return pl.LazyFrame(self.columns).cast({"click": pl.Int8, "conversion": pl.Int8})


class Windowless(Timed):
    """A log that does not say how long a conversion counts."""

    attribution_window = None


def run(dataset: Dataset, folder: Path) -> Schema:
    return preprocess(dataset, "timed", folder, folder / "processed", verified=True)


def test_times_reach_the_model_in_attribution_windows(tmp_path: Path) -> None:
    assert run(Timed(), tmp_path).attribution_window == 2
    clicks = Data.read(tmp_path / "processed", CPU).train.clicks
    assert clicks is not None
    expected = torch.tensor([0, torch.nan, 0.5, 1, 2], dtype=torch.float64)
    torch.testing.assert_close(clicks.time, expected, equal_nan=True)
    assert clicks.delay.tolist() == [0, torch.inf, torch.inf, 1, torch.inf]


CLICKED, LATER = [0, None, 1, 2, 4, 5, None], [0, None, None, 2, None, 1, None]


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("click_time", [0, 1, *CLICKED[2:]], "known on clicked rows and nowhere else; 1 rows"),
        ("click_time", [0, None, None, *CLICKED[3:]], "known on clicked rows and nowhere else"),
        ("click_time", [0.0, None, float("inf"), *CLICKED[3:]], "click_time must be finite"),
        ("conversion_delay", [None, *LATER[1:]], "known on conversions and nowhere else"),
        ("conversion_delay", [0, None, 1, *LATER[3:]], "known on conversions and nowhere else"),
        ("conversion_delay", [3, *LATER[1:]], r"lie in \[0, 2\], the attribution window"),
        ("conversion_delay", [-1, *LATER[1:]], r"lie in \[0, 2\]"),
        ("click_time", [0, None, 1, 2, 6, 5, None], "another split has a click at 5"),
        ("click_time", [3, None, 3, 4, 5, 5, None], "which must be longer than the attribution"),
    ],
)
def test_broken_times_are_refused(column: str, values: Column, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        run(Timed(**{column: values}), tmp_path)
    assert not (tmp_path / "processed").exists()


def test_times_need_a_window_and_each_other(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="attribution_window is None"):
        run(Windowless(), tmp_path)
    dataset = Timed()
    del dataset.columns["conversion_delay"]
    with pytest.raises(DataError, match="lacks the columns conversion_delay"):
        run(dataset, tmp_path)
    del dataset.columns["click_time"]
    assert run(dataset, tmp_path).offers == {"impression", "click", "conversion"}


# --- the simulator


@lru_cache
def table(**options: Any) -> pl.DataFrame:
    return KIND(rows=40_000, **options).table(Path()).collect()


def test_delays_change_nothing_but_add_times() -> None:
    assert set(table().columns).isdisjoint(TIMES)
    assert table(delay=0.5).drop(TIMES).equals(table())
    assert table(delay=0.5).columns == [*table().columns, *TIMES]


def test_simulated_times_are_those_of_clicks_and_conversions() -> None:
    frame = table(delay=0.5)
    click_time, delay = (frame[column] for column in TIMES)
    assert (click_time.is_not_null() == (frame["click"] == 1)).all()
    assert (delay.is_not_null() == (frame["conversion"] == 1).fill_null(value=False)).all()
    assert delay.is_between(0, KIND.attribution_window).drop_nulls().all()
    assert click_time.drop_nulls().is_sorted()
    first = frame.group_by("split").agg(pl.col("click_time").min().floor()).to_dict(as_series=False)
    assert dict(zip(first["split"], first["click_time"], strict=True)) == {
        "train": 0, "valid": 8, "test": 9
    }  # fmt: skip


def test_some_users_and_items_are_slower() -> None:
    converted = table(delay=0.5).filter(pl.col("conversion") == 1)
    spread = {
        key: np.std(converted.group_by(key).agg(pl.col("conversion_delay").mean())[:, 1].to_numpy())
        for key in ("category", "position")
    }
    assert spread["category"] > 2 * spread["position"]


@pytest.mark.parametrize("mean", [0.01, 1.0, 50.0])
def test_cut_exponential_times_have_their_mean(mean: float) -> None:
    times = exponential_below(np.random.default_rng(0).random(200_000), np.full(200_000, mean), 2.0)
    assert times.min() >= 0
    assert times.max() <= 2
    assert times.mean() == pytest.approx(mean - 2 / np.expm1(2 / mean), rel=0.02)


@pytest.mark.parametrize("delay", [-1, float("inf"), "slow"])
def test_nonsense_delays_are_refused(delay: Any) -> None:
    with pytest.raises(ConfigError, match=r"\.delay is .*; it must be a number of at least 0"):
        KIND(delay=delay)


# --- the trainer


class Probe(DelayedFeedback):
    """Keeps the batches that it is given."""

    name = "Probe"
    citation = ""

    def schedule(self) -> Schedule:
        return lambda clicks: settling(clicks, wait=0.1)

    def warm_up(self) -> tuple[Phase, ...]:
        self.prepared: list[Batch] = []
        return (Phase(1, self._watch, at_the_end),)

    def _watch(self, funnel: Batch) -> Any:
        self.prepared.append(funnel)
        yield Update(self.loss(funnel), self)

    def loss(self, funnel: Batch) -> Tensor:
        self.seen = [*getattr(self, "seen", []), funnel]
        return super().loss(funnel)


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "timed"
    preprocess(KIND(rows=6000, delay=0.5), "timed", folder, folder, verified=True)
    return folder


def test_a_schedule_decides_what_is_trained_on(timed: Path, protocol: Protocol) -> None:
    data = Data.read(timed, CPU)
    method = Probe(blueprint(data.schema, protocol.backbone))
    short = protocol.model_copy(update={"max_epochs": 1})
    fitted = fit(method, data, short, {"learning_rate": 0.01, "weight_decay": 0.0}, 0)
    prepared, replayed = method.prepared, method.seen[len(method.prepared) :]
    assert fitted.sample_gradients == sum(len(f.conversion) for f in method.seen)
    for funnels in (prepared, replayed):
        assert len(funnels) == pytest.approx(len(data.train) / protocol.batch_size, abs=1)
        assert all(funnel.clicked.all() for funnel in funnels)
    labels = [torch.cat([f.conversion for f in part]) for part in (prepared, replayed)]
    clicks = int(data.train.labels[:, 0].sum())
    assert len(labels[0]) in (clicks, clicks - 1)  # a single last row is left out
    assert clicks < len(labels[1]) < 2 * clicks
    assert labels[1].mean() < labels[0].mean()


def test_methods_without_a_schedule_see_final_labels_of_all_rows(
    timed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    preprocess(KIND(rows=6000), "untimed", tmp_path, tmp_path / "processed", verified=True)
    name = "naive"
    found = []
    for folder in (timed, tmp_path / "processed"):
        data = Data.read(folder, CPU)
        torch.manual_seed(0)
        method = registry.load("methods", name, Method)(blueprint(data.schema, protocol.backbone))
        found.append(fit(method, data, protocol, {"learning_rate": 0.01, "weight_decay": 0.0}, 0))
    assert found[0] == found[1]
