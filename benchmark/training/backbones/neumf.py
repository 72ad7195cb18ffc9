"""NeuMF multiplies two fields' embeddings, beside an MLP on separate embeddings of all fields."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from benchmark.schema import Schema
from benchmark.training.backbones.options import Options
from benchmark.training.batch import Features
from benchmark.training.blueprint import Embeddings


class NeuMFOptions(Options):
    """The options of NeuMF."""

    pair: tuple[str, str]
    """The two categorical fields whose embeddings are multiplied, such as user and item."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of activations that are set to zero before each layer of the MLP."""


class NeuMF(Embeddings):
    r"""Combine generalised matrix factorisation with an MLP; each has embeddings of its own.

    Let p and q be the embeddings of the two fields, and e the concatenation of all numeric fields
    and of the embeddings of all categorical fields in the other table. The encoding is

    .. math:: z = [\, p \odot q \;;\; \mathrm{MLP}(e) \,]

    With a head that has no hidden layers, this is the model of the paper.

    Evidence: We read the structure, the standard deviation 0.01 of the initial embeddings and the
    dropout before each layer in public code by others.

    Differs from the paper: Side information may enter the MLP, and the two parts are not
    pre-trained.
    """

    pair: Tensor

    def __init__(
        self, schema: Schema, *, embedding_size: int, hidden: Sequence[int], options: NeuMFOptions
    ) -> None:
        super().__init__(schema, embedding_size=embedding_size, hidden=())
        self.register_buffer("pair", _columns(schema, options.pair), persistent=False)
        self.factors = nn.Embedding(self.table.num_embeddings, embedding_size)
        nn.init.normal_(self.factors.weight, std=0.01)
        layers: list[nn.Module] = []
        inputs = self.width
        for size in hidden:
            layers += [nn.Dropout(options.dropout), nn.Linear(inputs, size), nn.ReLU()]
            inputs = size
        self.mlp = nn.Sequential(*layers)
        self.width = embedding_size + inputs

    def forward(self, features: Features) -> Tensor:
        """Return the encodings (B, width)."""
        ids = (features.sparse + self.starts).index_select(1, self.pair)
        return torch.cat([self.factors(ids).prod(1), super().forward(features)], 1)


def _columns(schema: Schema, pair: tuple[str, str]) -> Tensor:
    names = [field.name for field in schema.categorical]
    for name in pair:
        if name not in names:
            raise ValueError(
                f"option 'pair' of the backbone NeuMF names {name!r}, which is no categorical field"
                f" of {schema.dataset}; known: {', '.join(names)}"
            )
    return torch.tensor([names.index(name) for name in pair])
