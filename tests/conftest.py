"""A tiny processed dataset, simulated once per session."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from helpers.projects import train_here

from benchmark.config import Params, Protocol
from benchmark.data.dataset import Dataset
from benchmark.data.preprocess import preprocess
from benchmark.registry import ROOT

Params.read(ROOT / "params.yaml")  # whose plugins are tested like the project's own


# Files that wait for processes or take longest, begun first: none is left alone at the end.
FIRST = ("test_run", "test_methods", "test_pipeline", "test_studies", "test_docs")


gc.disable()  # what is collected stays: to look for garbage in it takes a fifth of the time


def pytest_collection_finish() -> None:
    """Look for garbage from now on, but not among what was imported and collected."""
    gc.freeze()
    gc.enable()


def pytest_runtest_setup() -> None:
    """Begin PyTorch's random numbers anew: no test depends on those that ran before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--method", help="a file name in methods/: run the tests of it alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; all others stay in their order."""
    if method := config.getoption("--method"):
        items[:] = [item for item in items if _concerns(item, method)]
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(FIRST)))


def _concerns(item: pytest.Item, method: str) -> bool:
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("name") == method


class TinyFunnel(Dataset):
    """A few thousand impressions of the whole funnel, in which the two fields matter."""

    title = "Tiny funnel"
    citation = "@misc{tiny, title = {Tiny funnel}, url = {https://example.org}}"
    licence = "MIT"
    claims = "None."
    stages = ("impression", "click", "micro", "macro", "conversion")
    categorical = ("user", "item")
    numeric = ("price",)
    attribution_window = 400.0

    def table(self, raw: Path) -> pl.LazyFrame:
        rng = np.random.default_rng(7)
        rows = 3000
        user, item = rng.integers(0, 40, rows), rng.integers(0, 25, rows)
        price = rng.normal(size=rows)
        taste = rng.normal(size=40)[user] + rng.normal(size=25)[item] + 0.5 * price
        click, micro, macro, conversion = (rng.random((4, rows)) < _sigmoid(taste)).astype(int)
        columns = {"click": click, "micro": micro, "macro": macro, "conversion": conversion}
        split = np.where(np.arange(rows) < 2000, "train", "valid")
        split[-600:] = "test"
        frame = pl.DataFrame({"user": user, "item": item, "price": price, "split": split})
        labels = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Int8))
        known = pl.when(pl.col("click") == 1)
        return (
            frame.hstack(labels)
            .with_columns(known.then(pl.col(label)) for label in ("micro", "macro", "conversion"))
            .with_columns(pl.col("user").alias("group"), click_time=known.then(pl.int_range(rows)))
            .with_columns(
                conversion_delay=pl.when(pl.col("conversion") == 1).then(
                    pl.col("click_time") * 7 % 300
                )
            )
            .lazy()
        )


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real samples."""
    if not (folder := os.environ.get("CVR_REAL_DATA")):
        pytest.skip("CVR_REAL_DATA names no folder of real samples")
    return Path(folder)


@pytest.fixture(scope="session")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The processed folder of :class:`TinyFunnel`."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    preprocess(TinyFunnel(), "tiny", folder, folder, verified=True)
    return folder


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    """The protocol of ``params.yaml``, made small."""
    full = Params.read(ROOT / "params.yaml").protocol
    small = {
        "batch_size": 256,
        "max_epochs": 2,
        "device": "cpu",
        "tuning": full.tuning.model_copy(update={"trials": 5, "batch": 2, "draws": 1}),
    }
    return full.model_copy(update=small)


@pytest.fixture
def sequential(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train without worker processes."""
    train_here(monkeypatch)
