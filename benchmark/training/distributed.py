"""One training in several processes: each takes its share of every batch, gradients are averaged.

Nothing here acts unless a process group of ``torch.distributed`` was begun. Then ``fit`` does in
every process what it does in one, up to rounding, for losses that are a mean over rows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch import distributed as group

from benchmark.config import Protocol
from benchmark.training.batch import Batch
from benchmark.training.method import Method
from benchmark.training.optimizer import large_tables
from benchmark.training.table import Table

NOISE = 1e-8  # of a gradient in double precision; a loss that is no mean differs by far more


def processes() -> int:
    """Return how many processes train this model."""
    return group.get_world_size() if group.is_initialized() else 1


def share(rows: Tensor) -> Tensor:
    """Return those rows of a batch, (B,), that this process takes."""
    return rows if processes() == 1 else rows[group.get_rank() :: processes()]


def average(gradients: Sequence[Tensor | None], rows: int) -> Sequence[Tensor | None]:
    """Return the gradients of the whole batch, of which this process had so many rows.

    Row-sparse ones stay so: processes exchange what the batch touched.
    """
    if processes() == 1:
        return gradients
    device = next(gradient.device for gradient in gradients if gradient is not None)
    total = torch.full((), rows, dtype=torch.float32, device=device)
    group.all_reduce(total)
    return [None if gradient is None else _sum(gradient * (rows / total)) for gradient in gradients]


def _sum(part: Tensor) -> Tensor:
    if part.is_sparse:
        return _sum_of_rows(part.coalesce())
    part = part.contiguous()
    group.all_reduce(part)
    return part


def _sum_of_rows(part: Tensor) -> Tensor:
    """Return the sum over processes of row-sparse gradients, for which NCCL has no call.

    Each process adds rows of zeros until all have as many, which are left out again.
    """
    rows, values = part.indices()[0], part.values()
    counts = [int(count) for count in _gathered(rows.new_tensor([len(rows)]))]
    more = max(counts) - len(rows)
    padded = (nn.functional.pad(rows, (0, more)), nn.functional.pad(values, (0, 0, 0, more)))
    all_rows, summands = (
        torch.cat([own[:count] for own, count in zip(_gathered(each), counts, strict=True)])
        for each in padded
    )
    return torch.sparse_coo_tensor(
        all_rows.unsqueeze(0), summands, part.shape, check_invariants=False
    )


def _gathered(part: Tensor) -> list[Tensor]:
    """Return the tensors of all processes, equal in shape, in the order of their ranks."""
    parts = [torch.empty_like(part) for _ in range(processes())]
    group.all_gather(parts, part.contiguous())
    return parts


def agreed(value: float, module: nn.Module) -> float:
    """Return the first process's number about a module, so that all decide alike."""
    if processes() == 1:
        return value
    number = torch.tensor(value, dtype=torch.float64, device=_device(module))
    group.broadcast(number, 0)
    return number.item()


def total(count: int, module: nn.Module) -> int:
    """Return the sum of what all processes counted in training a module."""
    if processes() == 1:
        return count
    number = torch.tensor(count, device=_device(module))
    group.all_reduce(number)
    return int(number)


def _device(module: nn.Module) -> torch.device:
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))


def check(method: Method, table: Table, protocol: Protocol) -> None:
    """Check that several processes would take the steps that one does; the method stays as it is.

    Raises:
        ValueError: they would not, in every process, as the first one finds.
    """
    if processes() == 1:
        return
    obstacles = [obstacle(method, table, protocol) if group.get_rank() == 0 else None]
    group.broadcast_object_list(obstacles, 0, device=_device(method))
    if obstacles[0] is not None:
        raise ValueError(f"{method.name} cannot be trained by several processes: {obstacles[0]}")


def obstacle(method: Method, table: Table, protocol: Protocol) -> str | None:
    """Return why shares of a batch do not make up the whole, None if they do."""
    if protocol.pretraining.task != "none" or not method.takes_plain_steps():
        return "it takes other steps than the descent of its loss, in pre-training say"
    if any(map(_draws, method.modules())):
        return "its dropout draws other numbers in each of them"
    if any(hasattr(part, "running_mean") for part in method.modules()):
        return "its batch normalisation would see a share of each batch"
    if not is_mean(method, table, protocol):
        return "its loss is no mean over the rows of a batch"
    return None


def _draws(part: nn.Module) -> bool:
    kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    return isinstance(part, kinds) and part.p > 0


def is_mean(method: Method, table: Table, protocol: Protocol) -> bool:
    """Tell whether two unlike halves of the first batch have the gradients of the whole.

    It is tried on a copy, in double precision: at first weights all errors are about log 2, so that
    halves drawn at random, or single precision, would let pass what is only nearly a mean.
    """
    own = copy.deepcopy(method).double().train()
    large_tables(own, protocol.row_sparse_from)
    rows = torch.arange(min(len(table), protocol.batch_size), device=table.sparse.device)
    rows = rows[table.labels[rows].sum(1).argsort(stable=True)]
    one, other = rows.tensor_split(2)
    first, second, whole = (
        own.loss(_doubled(table, taken, own)) * (len(taken) / len(rows))
        for taken in (one, other, rows)
    )
    parameters = list(own.parameters())
    gap, size = (
        _norm(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))
        for loss in (first + second - whole, whole)
    )
    return bool(gap <= NOISE * size)


def _doubled(table: Table, rows: Tensor, method: Method) -> Batch:
    """Return a batch in double precision, on the device of the method."""
    parts = (part.index_select(0, rows).to(_device(method)) for part in table.tensors)
    return table.of(part.double() if part.is_floating_point() else part for part in parts)


def _norm(gradients: Iterable[Tensor | None]) -> Tensor:
    present = [gradient for gradient in gradients if gradient is not None]
    entries = [part.coalesce().values() if part.is_sparse else part for part in present]
    return torch.stack([part.norm() for part in entries]).norm()
