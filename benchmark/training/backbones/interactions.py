"""Products of field vectors, from which explicit feature interactions are built."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Interaction(nn.Module):
    """Multiply vectors (B, ``count``, ``size``); each product has a left and a right factor.

    The module ``generate`` makes the left factors from the vectors. By default it is the identity.
    """

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.count, self.size = count, size
        self.generate: nn.Module = nn.Identity()


class InnerProducts(Interaction):
    """Compute the inner product of each pair of vectors."""

    pairs: Tensor

    def __init__(self, count: int, size: int) -> None:
        super().__init__(count, size)
        left, right = torch.triu_indices(count, count, offset=1)
        self.register_buffer("pairs", left * count + right, persistent=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the products (B, pairs)."""
        products = torch.bmm(self.generate(vectors), vectors.transpose(1, 2))
        return products.flatten(1).index_select(1, self.pairs)


class FactorisationMachine(Interaction):
    """Sum the element-wise products of all pairs: (B, size), or (B, 1) if ``scalar``."""

    before: Tensor

    def __init__(self, count: int, size: int, *, scalar: bool) -> None:
        super().__init__(count, size)
        self.register_buffer("before", torch.ones(count, count).tril(-1), persistent=False)
        self.scalar = scalar

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the sum."""
        total = (self.before @ self.generate(vectors) * vectors).sum(1)
        return total.sum(1, keepdim=True) if self.scalar else total


class Cross(Interaction):
    """Apply the cross layer of DCN-v2 to all vectors, without its residual: x ⊙ (W x + b)."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__(count, size)
        self.linear = nn.Linear(count * size, count * size)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return (B, count, size)."""
        return self.generate(vectors) * self.linear(vectors.flatten(1)).view_as(vectors)
