"""One training in several processes: each takes its share of every batch, gradients are averaged.

Nothing here acts unless a process group of ``torch.distributed`` was begun. Then ``fit`` does in
every process what it does in one, up to rounding, for losses that are a mean over rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch import distributed as group

from benchmark.training.method import Method
from benchmark.training.table import Table


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


def _sum(gradient: Tensor) -> Tensor:
    part = gradient.coalesce() if gradient.is_sparse else gradient.contiguous()
    group.all_reduce(part)
    return part


@torch.no_grad()
def check(method: Method, table: Table, size: int) -> None:
    """Check on the first rows that the losses of its shares make up that of the whole.

    Raises:
        ValueError: they do not, or the method takes other steps than plain ones.
    """
    if processes() == 1:
        return
    rows = torch.arange(min(len(table), size), device=table.ids.device)
    shares = [rows[rank :: processes()] for rank in range(processes())]
    parts = [len(part) / len(rows) * method.loss(table.take(part)) for part in shares]
    whole = method.loss(table.take(rows))
    if not (method.takes_plain_steps() and torch.isclose(torch.stack(parts).sum(), whole, 1e-4)):
        raise ValueError(
            f"{method.name} cannot be trained by several processes: its loss is no mean over the "
            "rows of a batch, or it takes other steps than the descent of that"
        )
