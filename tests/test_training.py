"""The trainer and the run: same seeds, same numbers, also after a kill; test data stays unseen."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from helpers.runs import REPLICATES, records, run
from helpers.seals import seal
from torch import Tensor, nn

from benchmark import registry
from benchmark.config import Protocol
from benchmark.files import read_json
from benchmark.schema import LABELS, ORACLE, Schema
from benchmark.training.backbones import blueprint
from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.delays.schedule import Clicks
from benchmark.training.losses import click_cvr_loss
from benchmark.training.method import Method, Phase, Update
from benchmark.training.table import Table
from benchmark.training.trainer import (
    Data,
    DivergedError,
    batches,
    chunks,
    fit,
    order,
    predict,
    read_labels,
    train_batch,
)

CPU = torch.device("cpu")
HYPER = {"learning_rate": 0.01, "weight_decay": 0.0}
METHOD = registry.names("methods")[0]


class Probe(Method):
    """A plain method that tests bend."""

    name = "Probe"
    citation = ""

    def __init__(self, parts: Any) -> None:
        super().__init__(parts)
        self.towers = parts.towers(1, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        (logit,) = self.towers(self.backbone(features))
        return Prediction(cvr=Probability.from_logit(logit))

    def loss(self, batch: Batch) -> Tensor:
        return click_cvr_loss(self(batch.features), batch)


def probe(processed: Path, protocol: Protocol) -> tuple[Probe, Data]:
    data = Data.read(processed, CPU)
    torch.manual_seed(0)
    return Probe(blueprint(data.schema, protocol.backbone)), data


def test_a_run_repeats_to_the_last_digit_and_resumes_where_it_was_killed(
    processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    run(tmp_path / "whole", processed, METHOD, protocol)
    whole = records(tmp_path / "whole")
    tuned = read_json(tmp_path / "whole" / "best.json")["part"] == "tuned"
    assert len(whole) == protocol.tuning.trials + REPLICATES * (1 + tuned)

    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    for name in ("trials/0001-0.json", "trials/0004-0.json", "default/1.json"):
        (tmp_path / "killed" / name).unlink()
    kept = tmp_path / "killed" / "trials" / "0003-0.json"
    before = kept.stat().st_mtime_ns
    run(tmp_path / "killed", processed, METHOD, protocol)

    assert records(tmp_path / "killed") == whole
    assert kept.stat().st_mtime_ns == before


def test_test_rows_touch_neither_tuning_nor_training(
    processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    poisoned = tmp_path / "poisoned"
    shutil.copytree(processed, poisoned)
    frame = pl.read_parquet(processed / "test.parquet")
    flipped = (1 - pl.col("conversion")).alias("conversion"), pl.lit(0.0).alias("price")
    frame.with_columns(*flipped).cast({"price": pl.Float32}).write_parquet(
        poisoned / "test.parquet"
    )
    seal(poisoned)
    run(tmp_path / "clean_run", processed, METHOD, protocol)
    run(tmp_path / "poisoned_run", poisoned, METHOD, protocol)
    clean, dirty = records(tmp_path / "clean_run"), records(tmp_path / "poisoned_run")
    assert len(clean) >= protocol.tuning.trials + REPLICATES
    for name, record in clean.items():
        assert dirty[name]["history"] == record["history"]
        assert dirty[name]["hyperparameters"] == record["hyperparameters"]
    assert clean["default/0.json"]["test"] != dirty["default/0.json"]["test"]


def test_results_of_another_protocol_are_discarded(
    processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    run(tmp_path / "run", processed, METHOD, protocol)
    first = read_json(tmp_path / "run" / "task.json")["key"]
    tuning = protocol.tuning.model_copy(update={"trials": 0})
    shorter = protocol.model_copy(update={"max_epochs": 1, "tuning": tuning})
    run(tmp_path / "run", processed, METHOD, shorter, 1)
    assert read_json(tmp_path / "run" / "task.json")["key"] != first
    assert [*records(tmp_path / "run")] == ["default/0.json"]


def test_a_method_that_lacks_a_stage_is_skipped_with_the_reason(
    processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    clicks = tmp_path / "clicks"
    shutil.copytree(processed, clicks)
    schema = Schema.read(processed).model_copy(update={"stages": ("conversion",)})
    (clicks / "schema.json").write_text(schema.model_dump_json())
    run(tmp_path / "run", clicks, "hm3", protocol)
    reason = read_json(tmp_path / "run" / "skipped.json")["reason"]
    assert reason == "needs click and macro and micro, which this dataset lacks"


def test_features_are_those_of_the_log_whatever_its_labels(processed: Path, tmp_path: Path) -> None:
    schema, stored = Schema.read(processed), pl.read_parquet(processed / "train.parquet")
    labels = [name for name in LABELS if name in stored.columns]
    stored.with_columns(stored[labels].sample(fraction=1, shuffle=True, seed=0)).write_parquet(
        tmp_path / "train.parquet"
    )
    table, permuted = (Table.read(folder, "train", schema) for folder in (processed, tmp_path))
    assert not table.labels.equal(permuted.labels)
    assert table.sparse.equal(permuted.sparse)
    assert table.dense.equal(permuted.dense)
    assert table.sparse.equal(stored[[f.name for f in schema.categorical]].to_torch())
    assert table.dense.equal(stored[[f.name for f in schema.numeric]].to_torch())
    known = stored[labels].fill_null(0).cast(pl.Float32)
    assert table.labels.equal(known.to_torch())
    assert known["conversion"].null_count() < stored["conversion"].null_count()


def test_a_split_is_the_same_in_however_many_pieces_it_is_read(
    processed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = Schema.read(processed)
    whole = Table.read(processed, "train", schema)
    monkeypatch.setattr("benchmark.training.table.PIECE", 300)
    pieces = Table.read(processed, "train", schema)
    assert len(whole) % 300 > 0
    for one, other in zip(pieces.tensors, whole.tensors, strict=True):
        assert one.equal(other)


def test_the_truth_of_the_metrics_is_that_of_the_files(processed: Path, tmp_path: Path) -> None:
    stored = pl.read_parquet(processed / "test.parquet")
    draws = torch.rand(len(ORACLE), len(stored), generator=torch.Generator().manual_seed(0))
    oracle = pl.DataFrame(dict(zip(ORACLE, draws.double().numpy(), strict=True)))
    oracle.write_parquet(tmp_path / "test.oracle.parquet")
    stored.write_parquet(tmp_path / "test.parquet")
    labels = read_labels(tmp_path, "test", Schema.read(processed))
    for name in ORACLE:
        assert getattr(labels, name).tolist() == oracle[name].to_list()
    for name in ("click", "conversion"):
        found = pl.Series(getattr(labels, name)).fill_nan(None)
        assert found.equals(stored[name].cast(pl.Float64), check_names=False)
    assert stored["conversion"].null_count() > 0


def numbered(rows: int) -> Table:
    """Return a table whose one number is that of the row."""
    numbers, nothing = torch.arange(float(rows)).unsqueeze(1), torch.zeros(rows, 0)
    return Table(nothing.int(), numbers, torch.zeros(rows, 1), ("conversion",))


def test_all_of_a_table_goes_to_a_device() -> None:
    meta, plain = torch.device("meta"), numbered(3)
    assert plain.to(meta).clicks is None
    table = replace(plain, clicks=Clicks(torch.zeros(3), torch.ones(3))).to(meta)
    assert table.clicks is not None
    parts = (*table.tensors, table.clicks.time, table.clicks.delay)
    assert {part.device for part in parts} == {meta}


def test_rows_are_predicted_in_pieces_that_suit_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.training.trainer.PREDICTION_ROWS", 4)
    monkeypatch.setattr("benchmark.training.trainer.PREDICTION_ROWS_ON_CPU", 3)
    for device, size in (("cpu", 3), ("meta", 4)):
        pieces = chunks(nn.Linear(1, 1, device=device), numbered(7))
        assert list(pieces) == [slice(i, i + size) for i in range(0, 7, size)]


def test_predictions_are_free_of_dropout(processed: Path, protocol: Protocol) -> None:
    data = Data.read(processed, CPU)
    torch.manual_seed(0)
    method = Probe(replace(blueprint(data.schema, protocol.backbone), dropout=0.5)).train()
    one, other = (predict(method.train(), data.test.table).cvr for _ in range(2))
    assert one.tolist() == other.tolist()


def test_batches_cover_all_rows_in_an_order_of_seed_and_epoch(processed: Path) -> None:
    table = Data.read(processed, CPU).train

    def order(seed: int, epoch: int) -> Tensor:
        return torch.cat([f.features.dense[:, 0] for f in batches(table, 256, seed, epoch)])

    assert torch.equal(order(1, 0), order(1, 0))
    assert not torch.equal(order(1, 0), order(1, 1))
    assert not torch.equal(order(1, 0), order(2, 0))
    assert torch.equal(order(1, 0).sort().values, table.dense[:, 0].sort().values)


def test_no_two_seeds_and_epochs_have_the_same_order() -> None:
    table, pairs = numbered(50), itertools.product(range(5), repeat=2)
    orders = {tuple(torch.cat(order(table, 8, *pair)).tolist()) for pair in pairs}
    assert len(orders) == 25


def test_a_single_last_row_is_left_out_and_two_are_not() -> None:
    assert [len(rows) for rows in order(numbered(8), 3, 0, 0)] == [3, 3, 2]
    assert [len(rows) for rows in order(numbered(7), 3, 0, 0)] == [3, 3]


def test_the_best_epoch_is_restored_and_patience_ends_training(
    processed: Path, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, data = probe(processed, protocol)
    values = iter([0.5, 0.7, 0.6, 0.6, 0.9])
    weights: list[Tensor] = []

    def value(*_: object) -> float:
        weights.append(method.towers.layers[0].weight.detach().clone())
        return next(values)

    monkeypatch.setattr("benchmark.training.trainer.evaluate_one", value)
    patient = protocol.model_copy(update={"max_epochs": 9, "patience": 2})
    result = fit(method, data, patient, HYPER, seed=0)
    assert result.history == (0.5, 0.7, 0.6, 0.6)
    assert result.best_epoch == 1
    assert torch.equal(method.towers.layers[0].weight, weights[1])
    assert result.sample_gradients == 4 * len(data.train)


def test_an_update_moves_its_own_module_only(processed: Path, protocol: Protocol) -> None:
    method, data = probe(processed, protocol)

    def towers_only(batch: Batch) -> Iterator[Update]:
        yield Update(method.loss(batch), method.towers)
        yield Update(method.loss(batch), method.towers)

    before = {name: value.clone() for name, value in method.state_dict().items()}
    batch = next(batches(data.train, 256, 0, 0))
    optimizer = torch.optim.Adam(method.parameters(), lr=0.01)
    assert train_batch(optimizer, towers_only, batch) == 2 * 256
    for name, value in method.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("backbone"), name


@pytest.mark.parametrize("large", [10, 10**6], ids=["by rows", "dense"])
def test_what_is_frozen_stays_and_all_else_is_trained(
    processed: Path, protocol: Protocol, large: int
) -> None:
    method, data = probe(processed, protocol)
    frozen = {"towers.layers.0.bias", "backbone.table.weight"}
    for name in frozen:
        method.get_parameter(name).requires_grad_(requires_grad=False)
    before = {name: value.clone() for name, value in method.named_parameters()}
    asked = protocol.model_copy(update={"row_sparse_from": large})
    fit(method, data, asked, HYPER | {"weight_decay": 0.1}, seed=0)
    for name, value in method.named_parameters():
        assert torch.equal(value, before[name]) == (name in frozen), name


def test_preparation_comes_first_and_its_work_is_counted(
    processed: Path, protocol: Protocol
) -> None:
    method, data = probe(processed, protocol)
    seen: list[str] = []

    def prepare(batch: Batch) -> Iterator[Update]:
        seen.append("prepare")
        yield Update(method.loss(batch), method.backbone)
        yield Update(method.loss(batch), method.towers)

    def train(batch: Batch) -> Iterator[Update]:
        seen.append("train")
        yield Update(method.loss(batch), method)

    method.updates = train  # type: ignore[method-assign]
    method.warm_up = lambda: (Phase(3, prepare),)  # type: ignore[method-assign]
    method.start_epoch = lambda: seen.append("start")  # type: ignore[method-assign]
    one = protocol.model_copy(update={"max_epochs": 1})
    rows = len(data.train)
    assert fit(method, data, one, HYPER, seed=0).sample_gradients == 3 * 2 * rows + rows
    steps = -(-rows // one.batch_size)
    assert seen == (["start"] + ["prepare"] * steps) * 3 + ["start"] + ["train"] * steps


def test_divergence_is_an_error_of_one_sentence(processed: Path, protocol: Protocol) -> None:
    method, data = probe(processed, protocol)
    nn.init.constant_(method.towers.layers[0].weight, float("nan"))
    with pytest.raises(DivergedError, match="Probe predicts values that are not numbers"):
        fit(method, data, protocol, HYPER, seed=0)
