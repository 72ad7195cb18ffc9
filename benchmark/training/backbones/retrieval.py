"""Finding in a long history what is near a query, and attending to what was found."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from benchmark.schema import Schema


class SimHash(nn.Module):
    """Signs of random projections: vectors at an angle a differ in a share a/π of them.

    Source: Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002.
    """

    planes: Tensor

    def __init__(self, size: int, bits: int) -> None:
        super().__init__()
        self.register_buffer("planes", torch.randn(size, bits))

    def forward(self, vectors: Tensor) -> Tensor:
        """Map (..., size) to signs (..., bits), 1 or -1, through which no gradient flows."""
        return torch.where(vectors.detach() @ self.planes > 0, 1.0, -1.0)


def nearest(query: Tensor, history: Tensor, known: Tensor, count: int) -> Tensor:
    """Return the places (B, count) in a history of least Hamming distance to a query, in time.

    Signs are (B, bits) and (B, L, bits). Of two at the same distance the more recent is nearer;
    what is not ``known`` (B, L) is farther than all that is. A shorter history is returned whole.
    """
    length, bits = history.shape[1:]
    distance = (bits - torch.einsum("blh,bh->bl", history, query)) / 2
    distance = distance.masked_fill(~known, bits + 1)
    order = distance * length - torch.arange(length, device=distance.device)
    return order.topk(min(count, length), largest=False).indices.sort().values


def taken(values: Tensor, places: Tensor) -> Tensor:
    """Return (B, count, ...) of values (B, L, ...)."""
    shape = places.shape + (1,) * (values.dim() - 2)
    return values.gather(1, places.view(shape).expand(*places.shape, *values.shape[2:]))


class TargetAttention(nn.Module):
    """A mixture of behaviours, weighed by scaled inner products with the target."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(size, size, bias=False)
        self.key = nn.Linear(size, size, bias=False)
        self.value = nn.Linear(size, size, bias=False)

    def forward(self, target: Tensor, behaviours: Tensor, known: Tensor) -> Tensor:
        """Return (B, size) from (B, size) and (B, L, size); 0 where nothing is known."""
        scores = torch.einsum("bld,bd->bl", self.key(behaviours), self.query(target))
        scores = scores / math.sqrt(target.shape[1])
        weights = scores.masked_fill(~known, torch.finfo(scores.dtype).min).softmax(1) * known
        return torch.einsum("bl,bld->bd", weights, self.value(behaviours))


def check_history(name: str, schema: Schema) -> None:
    """Refuse a log without histories.

    Raises:
        ValueError: it has none.
    """
    if not schema.sequences:
        raise ValueError(
            f"the backbone {name} attends to a history, which {schema.dataset} lacks: choose "
            "another backbone, or an option of the dataset that adds one"
        )
