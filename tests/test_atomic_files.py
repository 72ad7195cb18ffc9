"""Processed data as RecBole's files: known labels only, and stock RecBole learns the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from helpers.seals import seal

from benchmark import registry
from benchmark.cli import main
from benchmark.config import BackboneParams, Protocol
from benchmark.data.atomic_files import export_recbole
from benchmark.data.dataset import DataError, Dataset
from benchmark.data.preprocess import preprocess
from benchmark.metrics.evaluation import evaluate_one
from benchmark.schema import Schema
from benchmark.training.backbones import blueprint
from benchmark.training.backbones.recbole import isolated
from benchmark.training.method import Method
from benchmark.training.trainer import Data, fit, predict

CPU = torch.device("cpu")


def exported(processed: Path, folder: Path, name: str) -> pl.DataFrame:
    export_recbole(processed, folder)
    return pl.read_csv(folder / f"{folder.name}.{name}.inter", separator="\t")


def test_files_hold_known_labels_only(processed: Path, tmp_path: Path) -> None:
    truth = pl.read_parquet(processed / "train.parquet")
    logged = exported(processed, tmp_path / "tiny", "train")
    assert logged.columns == [
        "user:token", "item:token", "price:float", "click:float",
        "click_and_micro:float", "click_and_macro:float", "click_and_conversion:float",
    ]  # fmt: skip
    joint = truth["click"] * truth["conversion"].fill_null(0)
    assert logged["click_and_conversion:float"].to_list() == joint.to_list()
    clicked = exported(processed, tmp_path / "tiny", "train_clicked")
    assert clicked.columns[3:] == ["micro:float", "macro:float", "conversion:float"]
    assert clicked.null_count().sum_horizontal().item() == 0
    known = truth.filter(pl.col("click") == 1)
    assert clicked["conversion:float"].to_list() == known["conversion"].to_list()
    assert clicked["user:token"].to_list() == known["user"].to_list()
    assert np.array_equal(clicked["price:float"].cast(pl.Float32), known["price"])


def test_unknown_ids_are_empty_and_random_rows_apart(processed: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(processed, tmp_path / "changed")
    shown_at_random = pl.int_range(pl.len()) < 100
    pl.read_parquet(processed / "test.parquet").with_columns(
        pl.when(shown_at_random).then(pl.lit("random")).otherwise("policy").alias("policy"),
        pl.when(~shown_at_random).then("click"),
        pl.when(shown_at_random).then(0).otherwise("user").cast(pl.UInt32).alias("user"),
        pl.when(pl.int_range(pl.len()) < 90).then(1).otherwise("conversion").alias("conversion"),
    ).write_parquet(changed / "test.parquet")
    seal(changed)
    shown = exported(changed, tmp_path / "mixed", "test_random")
    assert shown.columns[3:] == ["conversion:float"]
    assert shown.null_count().row(0)[1:] == (0, 0, 0)
    assert shown["user:token"].null_count() == len(shown) >= 90
    assert len(exported(changed, tmp_path / "mixed", "test")) == 600 - 100
    assert not (tmp_path / "mixed" / "mixed.train_random.inter").exists()


def test_a_field_that_cannot_be_a_column_is_refused_before_anything_is_written(
    processed: Path, tmp_path: Path
) -> None:
    schema = Schema.read(processed)
    bad = schema.fields[0].model_copy(update={"name": "user:id"})
    changed = shutil.copytree(processed, tmp_path / "changed")
    text = schema.model_copy(update={"fields": (bad,)}).model_dump_json()
    (changed / "schema.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="'user:id' cannot head a column"):
        export_recbole(changed, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["changed"]


def test_the_verb_exports_a_dataset(
    processed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export-recbole", "tiny"]) == 1
    shutil.copytree(processed, tmp_path / "data/processed/tiny")
    assert main(["export-recbole", "tiny"]) == 0
    assert (tmp_path / "data/recbole/tiny/tiny.valid_clicked.inter").is_file()
    settings = yaml.safe_load((tmp_path / "data/recbole/tiny/recbole.yaml").read_text())
    assert settings["data_path"] == "data/recbole"


class Clicks(Dataset):
    """A log of clicks whose conversions depend on both ids and the number."""

    title = "Clicks"
    citation = licence = claims = ""
    stages = ("click", "conversion")
    categorical = ("user", "item")
    numeric = ("price",)

    def table(self, raw: Path) -> pl.LazyFrame:
        rng, rows = np.random.default_rng(3), 9000
        user, item, price = (
            rng.integers(60, size=rows),
            rng.integers(30, size=rows),
            rng.normal(size=rows),
        )
        taste = rng.normal(size=60)[user] + rng.normal(size=30)[item] + 0.8 * price - 1
        conversion = (rng.random(rows) < 1 / (1 + np.exp(-taste))).astype(np.int8)
        split = np.repeat(["train", "valid", "test"], [5000, 1000, 3000])
        columns = {"user": user, "item": item, "price": price, "conversion": conversion}
        return pl.LazyFrame({**columns, "split": split})


LEARNING_RATE, BATCH, EPOCHS, EMBEDDING, HIDDEN = 5e-3, 256, 5, 8, [32, 16]


def our_auc(data: Data, protocol: Protocol, seed: int) -> float:
    torch.manual_seed(seed)
    size: dict[str, Any] = {"embedding_size": EMBEDDING, "hidden": tuple(HIDDEN), "tower": ()}
    parts = blueprint(data.schema, BackboneParams(name="DeepFM", dropout=0.0, **size))
    method = registry.load("methods", "naive", Method)(parts)
    to_the_end = {"batch_size": BATCH, "max_epochs": EPOCHS, "patience": EPOCHS}
    tuned = {"learning_rate": LEARNING_RATE, "weight_decay": 0.0}
    fit(method, data, protocol.model_copy(update=to_the_end), tuned, seed)
    return evaluate_one("cvr_auc_clicked", data.test.labels, predict(method, data.test.table))


def stock_auc(folder: Path, seed: int) -> float:
    """Train and test by RecBole alone, from the exported files; its quick start would need ray."""
    from recbole.config import Config  # noqa: PLC0415
    from recbole.data import create_dataset, data_preparation  # noqa: PLC0415
    from recbole.trainer import Trainer  # noqa: PLC0415
    from recbole.utils import get_model  # noqa: PLC0415

    settings = {
        "seed": seed, "learning_rate": LEARNING_RATE, "train_batch_size": BATCH, "epochs": EPOCHS,
        "embedding_size": EMBEDDING, "mlp_hidden_size": HIDDEN, "dropout_prob": 0.0, "gpu_id": "",
        "metric_decimal_place": 6,
    }  # fmt: skip
    torch.manual_seed(seed)
    with isolated():
        config = Config("DeepFM", folder.name, [str(folder / "recbole.yaml")], settings)
        train, _, test = data_preparation(config, create_dataset(config))
        trainer = Trainer(config, get_model("DeepFM")(config, train.dataset))
        trainer.fit(train, saved=False, verbose=False)
        return float(trainer.evaluate(test, load_best_model=False)["auc"])


@pytest.mark.filterwarnings("ignore")  # of RecBole's use of pandas and torch
def test_stock_recbole_on_the_exported_files_reaches_the_same_auc(
    tmp_path: Path, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # RecBole writes logs and checkpoints where it is run
    processed, folder = tmp_path / "processed", tmp_path / "recbole" / "clicks"
    preprocess(Clicks(), "clicks", processed, processed, verified=True)
    export_recbole(processed, folder)
    data = Data.read(processed, CPU)
    ours = np.array([our_auc(data, protocol, seed) for seed in range(2)])
    stock = np.array([stock_auc(folder, seed) for seed in range(2)])
    noise = np.sqrt(ours.var(ddof=1) / 2 + stock.var(ddof=1) / 2)
    assert abs(ours.mean() - stock.mean()) < 3 * noise + 0.005
    assert min(ours.min(), stock.min()) > 0.7
