"""What lets a GPU run on: steps that ask it for nothing, and tables larger than its memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.descending import CPU, HYPER, METHODS, build, each, phases
from helpers.worlds import blueprint, make_batch, moved, schema
from torch.profiler import ProfilerActivity, profile

from benchmark.config import Protocol
from benchmark.training import backbones, host_table, optimizer
from benchmark.training.batch import Batch
from benchmark.training.host_table import HostTable
from benchmark.training.method import Method, Update
from benchmark.training.modules.doubly_robust import PropensityModel
from benchmark.training.optimizer import Adam
from benchmark.training.trainer import Data, batches, fit, predict, train_batch

META = torch.device("meta")
ASKING = {"item", "_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "_unique2"}


@each
def test_no_step_needs_a_value_or_another_device(name: str) -> None:
    """On the meta device, tensors have no values, and none of another device may join them."""
    method, batch = build(name).to(META), moved(make_batch(schema(), 32), META)
    for updates in phases(method):
        update: Update
        for update in updates(batch):
            found = torch.autograd.grad(
                update.loss, list(update.module.parameters()), allow_unused=True
            )
            assert any(gradient is not None for gradient in found)
            assert all(gradient is None or gradient.is_meta for gradient in found)


@each
def test_no_step_of_the_trainer_asks_for_a_value(name: str) -> None:
    method, batch = build(name), make_batch(schema(), 32)
    descent = Adam(method, learning_rate=0.01, weight_decay=0.0, large=10**9)
    for updates in phases(method):
        train_batch(descent, updates, batch)
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            train_batch(descent, updates, batch)
        called = asked_of(seen)
        assert "mul" in called
        assert not called & ASKING


def test_calibration_asks_for_no_error_and_solves_what_solve_does() -> None:
    torch.manual_seed(0)
    model, batch = PropensityModel(blueprint(schema())), make_batch(schema(), 64)
    for _ in range(5):
        before = model.platt.clone()
        inputs = torch.stack([model.network(batch.features), torch.ones(64)], 1).detach()
        score = inputs.T @ (batch.clicked - (inputs @ before).sigmoid())
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            model.calibrate(batch)
        assert "_linalg_check_errors" not in asked_of(seen)
        assert torch.equal(model.platt, before + torch.linalg.solve(model.information, score))


def asked_of(seen: profile) -> set[str]:
    """Return what was called, but for what PyTorch's fused Adam calls on a processor.

    There it reads its count of steps, which on a GPU its kernel does.
    """
    return {
        event.name.removeprefix("aten::")
        for event in seen.events()
        if "_fused_adam_" not in {parent.name.removeprefix("aten::") for parent in above(event)}
    }


def above(event: Any) -> Iterator[Any]:
    while (event := event.cpu_parent) is not None:
        yield event


@pytest.fixture
def entrywise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer, "by_row", optimizer.by_entry)


def sparse_steps(method: Method) -> Method:
    descent = Adam(method, learning_rate=0.01, weight_decay=0.1, large=1)
    for seed in range(5):
        train_batch(descent, method.updates, make_batch(schema(), 64, seed=seed))
    return method


def test_rows_that_recur_have_the_sums_of_distinct_ones() -> None:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randint(9, (1, 500), generator=generator)
    values = torch.randn(500, 3, generator=generator)
    gradient = torch.sparse_coo_tensor(rows, values, (11, 3), check_invariants=False)
    found, sums = optimizer.by_entry(gradient)
    distinct, wanted = optimizer.by_row(gradient)
    assert torch.equal(sums, wanted[torch.searchsorted(distinct, found)])


def test_rows_that_recur_are_trained_as_distinct_ones(request: pytest.FixtureRequest) -> None:
    wanted = sparse_steps(build("esmm"))
    request.getfixturevalue("entrywise")
    untrained = build("esmm")
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        found = sparse_steps(untrained)
    called = asked_of(seen)
    assert "sort" in called
    assert not called & ASKING
    for ours, theirs in zip(found.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


# --- tables in host memory


@pytest.fixture
def data(processed: Path) -> Data:
    return Data.read(processed, CPU)


@pytest.fixture(params=[1, 700, 10**6], ids="chunks of {} rows".format)
def far(data: Data, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Data:
    """The same data, from host memory in chunks of at least a batch."""
    monkeypatch.setattr(host_table, "CHUNK", request.param)
    valid, test = (
        replace(split, table=host_table.in_host_memory(split.table, CPU))
        for split in (data.valid, data.test)
    )
    return replace(data, train=host_table.in_host_memory(data.train, CPU), valid=valid, test=test)


def trained(data: Data, protocol: Protocol, name: str) -> tuple[Any, ...]:
    torch.manual_seed(3)
    method = METHODS[name](backbones.blueprint(data.schema, protocol.backbone))
    outcome = fit(method, data, protocol, HYPER, seed=5)
    return outcome, predict(method, data.test.table).cvr.tolist()


@pytest.mark.parametrize("name", ["hm3", "dfm"], ids=["rows", "arrivals"])
def test_a_table_in_host_memory_trains_the_very_same_model(
    name: str, data: Data, far: Data, protocol: Protocol
) -> None:
    assert isinstance(far.train, HostTable)
    assert trained(far, protocol, name) == trained(data, protocol, name)


def test_batches_are_those_of_the_table_and_breaking_off_leaves_no_thread(
    data: Data, far: Data
) -> None:
    before = set(threading.enumerate())
    pairs = zip(batches(far.train, 128, 1, 2), batches(data.train, 128, 1, 2), strict=True)
    assert all(equal(ours, theirs) for ours, theirs in pairs)
    begun = batches(far.train, 128, 1, 2)
    next(iter(begun))
    begun.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) <= before
    assert not list(far.train.batches([]))


def equal(ours: Batch, theirs: Batch) -> bool:
    pairs = (
        (ours.features.sparse, theirs.features.sparse),
        (ours.features.dense, theirs.features.dense),
        (ours.conversion, theirs.conversion),
        (ours.clicked, theirs.clicked),
    )
    return all(torch.equal(one, other) for one, other in pairs)


def test_what_goes_wrong_while_gathering_is_raised(data: Data) -> None:
    table = host_table.in_host_memory(data.train, CPU)
    with pytest.raises(IndexError):
        list(table.batches([torch.tensor([len(table)])]))


@pytest.mark.parametrize("error", [None, torch.cuda.OutOfMemoryError])
def test_a_table_streams_where_another_process_took_the_memory(
    error: type[Exception] | None, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(table: Any, _: torch.device) -> Any:
        if error is not None:
            raise error
        return table

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10**12, 10**12))
    monkeypatch.setattr(type(data.train), "to", moved)
    found = host_table.on_device(replace(data.train, clicks=None), torch.device("cuda"))
    assert isinstance(found, HostTable) == (error is not None)
