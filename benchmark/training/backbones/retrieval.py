"""Retrieval of behaviours near a query from a long history, and attention to them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from benchmark.schema import Schema


class SimHash(nn.Module):
    """Hash vectors by signs of random projections; at an angle a, a share a/π of the signs differs.

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
    """Return the positions (B, count) of least Hamming distance to a query, in temporal order.

    The signs have the shapes (B, bits) and (B, L, bits). Of two behaviours at the same distance,
    the more recent one is nearer. Padding, where ``known`` (B, L) is false, is farthest. A history
    shorter than ``count`` is returned whole.
    """
    length, bits = history.shape[1:]
    distance = (bits - torch.einsum("blh,bh->bl", history, query)) / 2
    distance = distance.masked_fill(~known, bits + 1)
    order = distance * length - torch.arange(length, device=distance.device)
    return order.topk(min(count, length), largest=False).indices.sort().values


def taken(values: Tensor, positions: Tensor) -> Tensor:
    """Return the values (B, L, ...) at the given positions, (B, count, ...)."""
    shape = positions.shape + (1,) * (values.dim() - 2)
    return values.gather(1, positions.view(shape).expand(*positions.shape, *values.shape[2:]))


class TargetAttention(nn.Module):
    """Mix behaviours, weighted by scaled inner products with the target."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(size, size, bias=False)
        self.key = nn.Linear(size, size, bias=False)
        self.value = nn.Linear(size, size, bias=False)

    def forward(self, target: Tensor, behaviours: Tensor, known: Tensor) -> Tensor:
        """Return (B, size) from (B, size) and (B, L, size); 0 for an empty history."""
        scores = torch.einsum("bld,bd->bl", self.key(behaviours), self.query(target))
        scores = scores / math.sqrt(target.shape[1])
        weights = scores.masked_fill(~known, torch.finfo(scores.dtype).min).softmax(1) * known
        return torch.einsum("bl,bld->bd", weights, self.value(behaviours))


def check_history(name: str, schema: Schema) -> None:
    """Check that a dataset has histories.

    Raises:
        ValueError: It has none.
    """
    if not schema.sequences:
        raise ValueError(
            f"the backbone {name} attends to a history, which {schema.dataset} lacks: choose "
            "another backbone, or an option of the dataset that adds one"
        )
