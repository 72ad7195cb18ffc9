"""SFG generates one factor of each feature interaction from all fields."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmark.training.backbones.interactions import InnerProducts, Interaction
from benchmark.training.backbones.options import Options
from benchmark.training.backbones.recbole import RecBoleBackbone
from benchmark.training.batch import Features
from benchmark.training.blueprint import Backbone, Embeddings

Base = Literal["embeddings", "DHEN", "ETA", "MIRRN", "DeepFM", "NFM", "PNN"]


class SFGOptions(Options):
    """The options of SFG."""

    base: Base = "embeddings"
    """The name of the backbone that SFG wraps."""
    base_options: dict[str, Any] = {}
    """The options of that backbone."""


class SFG(Backbone):
    r"""Predict each field from all fields, within the interactions of another backbone.

    Let e be the vectors of the fields, and W a linear map without bias for each interaction. Each
    product :math:`e_i \odot e_j` in the base becomes

    .. math:: h_i \odot e_j, \quad h = \mathrm{ReLU}(W \, \mathrm{vec}(e))

    The supervised loss is the only one. If the base has no products, the inner products of all
    pairs are appended to its encoding, which turns the plain embeddings into PNN.

    Evidence: We verified the encoder, the products and the single supervised loss in the authors'
    public code of arXiv 2512.14041 (DeepFM, PNN, DCN-v2), and the encoder's own layer in a
    re-implementation.

    Differs from the paper: The encoder has neither the scale nor the residual that the paper's
    configurations give it on some datasets. As in the code, MLPs read the raw embeddings.
    """

    def __init__(self, base: Backbone) -> None:
        super().__init__()
        self.base, self.width = base, base.width
        self.beside: InnerProducts | None = None
        if isinstance(base, RecBoleBackbone):
            base.separate_products()
        elif isinstance(base, Embeddings) and not _interactions(base):
            self.beside = InnerProducts(base.vector_count, base.vector_size)
            self.width += len(self.beside.pairs)
        for interaction in _interactions(self):
            interaction.generate = Generator(interaction.count, interaction.size)

    def forward(self, features: Features) -> Tensor:
        """Return the encodings (B, width)."""
        if self.beside is None or not isinstance(self.base, Embeddings):
            return self.base(features)
        vectors = self.base.vectors(features)
        return torch.cat([self.base.encode(vectors, features), self.beside(vectors)], 1)


class Generator(nn.Module):
    """Generate a hidden vector for each field from the vectors of all fields."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(count * size, count * size, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Map (B, count, size) to the same shape."""
        return self.linear(vectors.flatten(1)).relu().view_as(vectors)


def _interactions(module: nn.Module) -> list[Interaction]:
    return [part for part in module.modules() if isinstance(part, Interaction)]
