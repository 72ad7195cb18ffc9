"""What a GPU trains: what a core trains, the same each time, and without a wait.

Together with the contract that every method keeps on a core, the first of these tests shows that
it keeps it on a GPU. ``CVR_TEST_DEVICE=cpu`` tries them without one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.descending import CPU, HYPER, METHODS, build, each, phases
from helpers.worlds import make_batch, moved, schema
from torch import Tensor

from benchmark.config import Protocol
from benchmark.training import backbones, host_table, optimizer
from benchmark.training.batch import Batch
from benchmark.training.host_table import HostTable
from benchmark.training.method import Update
from benchmark.training.optimizer import Adam
from benchmark.training.trainer import Data, Updates, epochs, predict, train_batch

GPU = torch.device(os.environ.get("CVR_TEST_DEVICE", "cuda"))
if GPU.type == "cuda" and not torch.cuda.is_available():
    pytest.skip(
        "there is no GPU; CVR_TEST_DEVICE=cpu tries these tests without one",
        allow_module_level=True,
    )
STEPS, ROWS = 50, 64
DENSE, SPARSE = 10**9, 1  # tables of at least so many rows are trained row by row

with_cuda = pytest.mark.skipif(GPU.type != "cuda", reason="what only CUDA has")


def recorded(updates: Updates, losses: list[Tensor]) -> Updates:
    """Return the updates, whose losses are noted as they are asked for."""

    def noted(batch: Batch) -> Iterator[Update]:
        for update in updates(batch):
            losses.append(update.loss.detach())
            yield update

    return noted


def trained(
    name: str, device: torch.device, large: int = DENSE, seed: int = 1
) -> tuple[Tensor, list[Tensor]]:
    """Return the losses of all steps and the parameters after them, both on the CPU."""
    method = build(name, device)
    losses: list[Tensor] = []
    torch.manual_seed(seed)
    for updates in phases(method):
        descent = Adam(method, learning_rate=0.01, weight_decay=1e-4, large=large)
        for step in range(STEPS):
            batch = moved(make_batch(schema(), ROWS, seed=step), device)
            train_batch(descent, recorded(updates, losses), batch)
    return torch.stack(losses).cpu(), [part.detach().cpu() for part in method.parameters()]


def draws(name: str) -> bool:
    """Whether a method draws random numbers while it trains, of which each device has its own."""
    return not torch.equal(trained(name, CPU)[0], trained(name, CPU, seed=2)[0])


@each
@pytest.mark.parametrize("large", [DENSE, SPARSE], ids=["dense", "row-sparse"])
def test_a_gpu_has_the_losses_of_a_core(name: str, large: int) -> None:
    (wanted, _), (losses, _) = trained(name, CPU, large), trained(name, GPU, large)
    if not torch.allclose(losses, wanted, rtol=1e-5, atol=1e-5) and draws(name):
        pytest.skip("it draws random numbers, of which each device has its own")
    torch.testing.assert_close(losses, wanted, rtol=1e-5, atol=1e-5)


@each
def test_a_gpu_trains_the_same_each_time(name: str) -> None:
    (losses, weights), (again, weights_again) = trained(name, GPU), trained(name, GPU)
    assert torch.equal(losses, again)
    assert all(torch.equal(*both) for both in zip(weights, weights_again, strict=True))


@with_cuda
@each
def test_a_gpu_is_never_waited_for(name: str) -> None:
    method, batch = build(name, GPU), moved(make_batch(schema(), 32), GPU)
    descent = Adam(method, learning_rate=0.01, weight_decay=0.0, large=20)
    for updates in phases(method):
        train_batch(descent, updates, batch)
        torch.cuda.set_sync_debug_mode("error")
        try:
            train_batch(descent, updates, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("share", [1.0, 0.0], ids=["resident", "in host memory"])
def test_epochs_on_a_gpu_predict_what_those_on_a_core_predict(
    share: float, processed: Path, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_table, "SHARE", share)
    predictions = []
    for device in (CPU, GPU):
        source = Data.read(processed, device)
        assert isinstance(source.train, HostTable) == (share == 0 and device.type == "cuda")
        torch.manual_seed(3)
        method = METHODS["hm3"](backbones.blueprint(source.schema, protocol.backbone)).to(device)
        list(epochs(method, source, protocol, HYPER, seed=5))
        predictions.append(torch.tensor(predict(method, source.test.table).cvr))
    torch.testing.assert_close(predictions[1], predictions[0], rtol=0, atol=1e-3)


def test_sums_of_rows_that_recur_are_repeatable_on_a_gpu() -> None:
    rows, values = torch.randint(9, (1, 50_000)), torch.randn(50_000, 16)
    gradient = torch.sparse_coo_tensor(rows, values, (11, 16), check_invariants=False).to(GPU)
    sums = [optimizer.by_entry(gradient)[1] for _ in range(5)]
    assert all(torch.equal(other, sums[0]) for other in sums)
