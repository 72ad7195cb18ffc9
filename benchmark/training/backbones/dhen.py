"""DHEN stacks layers, each of which adds up the interactions of several modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from benchmark.schema import Schema
from benchmark.training.backbones.interactions import Cross, InnerProducts
from benchmark.training.backbones.options import Options, check_heads
from benchmark.training.batch import Features
from benchmark.training.blueprint import Embeddings, mlp

Part = Literal["mlp", "cross", "attention", "dot"]


class DHENOptions(Options):
    """The options of DHEN."""

    layers: PositiveInt = 2
    """The number of stacked layers."""
    parts: Annotated[tuple[Part, ...], Field(min_length=1)] = ("mlp", "cross", "attention", "dot")
    """The modules whose outputs each layer adds up."""
    heads: PositiveInt = 2
    """The heads of the attention; they must divide ``embedding_size``."""


class DHEN(Embeddings):
    r"""Stack layers of heterogeneous interaction modules, with a shortcut and a norm around each.

    Let :math:`X_0` be the vectors of all fields, where the vector of a numeric field is its value
    times a learned vector, and let :math:`M_k` be modules whose outputs have the shape of their
    input. Each layer computes

    .. math:: X_{n+1} = \mathrm{LayerNorm}\Big(X_n + \sum_k M_k(X_n)\Big)

    The encoding is the concatenation of the vectors of the last layer. The modules are an MLP, the
    cross layer of DCN-v2, self-attention over the fields, and a linear map of all inner products.

    Evidence: We read summaries of arXiv 2203.11014 for the ensemble, the shortcut and the norm;
    they also say that the ensemble may be a sum. The abstract of arXiv 2504.08169 names the MLP,
    DCN and the Transformer for CVR prediction. Neither paper published code.

    Differs from the papers: All layers keep the number of vectors. A sequence enters as its mean,
    without a self-supervised loss. The widths and the depth are ours.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        embedding_size: int,
        hidden: Sequence[int],
        options: DHENOptions,
    ) -> None:
        super().__init__(schema, embedding_size=embedding_size, hidden=())
        check_heads("DHEN", embedding_size, options.heads)
        self.dense = nn.Parameter(0.01 * torch.randn(len(schema.numeric), embedding_size))
        self.vector_count += len(schema.numeric)
        count, size = self.vector_count, self.vector_size
        self.layers = nn.Sequential(*(Layer(count, size, options) for _ in range(options.layers)))
        self.mlp = mlp(count * size, hidden)
        self.width = hidden[-1] if hidden else count * size

    def vectors(self, features: Features) -> Tensor:
        """Return the vectors of fields, sequences and numbers, (B, vectors, size)."""
        numbers = features.dense.unsqueeze(2) * self.dense
        return torch.cat([super().vectors(features), numbers], 1)

    def encode(self, vectors: Tensor, features: Features) -> Tensor:
        """Return the encodings (B, width) from the vectors."""
        return self.mlp(self.layers(vectors).flatten(1))


class Layer(nn.Module):
    """Normalise the sum of the input and of the outputs of all modules."""

    def __init__(self, count: int, size: int, options: DHENOptions) -> None:
        super().__init__()
        parts = (PARTS[part](count, size, options.heads) for part in options.parts)
        self.parts = nn.ModuleList(parts)
        self.norm = nn.LayerNorm(size)

    def forward(self, vectors: Tensor) -> Tensor:
        """Map (B, count, size) to the same shape."""
        return self.norm(sum((part(vectors) for part in self.parts), vectors))


class Reshaped(nn.Sequential):
    """Apply layers to vectors, and give their outputs the shape of the input."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Map (B, count, size) to the same shape."""
        outputs = vectors
        for layer in self:
            outputs = layer(outputs)
        return outputs.view_as(vectors)


class SelfAttention(nn.Module):
    """Replace each vector by a mixture of all vectors, weighted by scaled inner products."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(size, heads, batch_first=True)

    def forward(self, vectors: Tensor) -> Tensor:
        """Map (B, count, size) to the same shape."""
        mixed: Tensor = self.attention(vectors, vectors, vectors, need_weights=False)[0]
        return mixed


def _mlp(count: int, size: int) -> nn.Module:
    width = count * size
    return Reshaped(nn.Flatten(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))


def _dot(count: int, size: int) -> nn.Module:
    pairs = count * (count - 1) // 2
    return Reshaped(InnerProducts(count, size), nn.Linear(pairs, count * size))


PARTS: dict[Part, Callable[[int, int, int], nn.Module]] = {
    "mlp": lambda count, size, _: _mlp(count, size),
    "cross": lambda count, size, _: Cross(count, size),
    "attention": lambda _, size, heads: SelfAttention(size, heads),
    "dot": lambda count, size, _: _dot(count, size),
}
