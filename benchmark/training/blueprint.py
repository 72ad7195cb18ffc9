"""The parts that every method of a comparison is built from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.schema import Schema
from benchmark.training.batch import Features, Probability


class Backbone(nn.Module):
    """An encoder of impressions: :class:`Features` of B rows to a tensor (B, ``width``)."""

    width: int


class Embeddings(Backbone):
    """Look up one embedding per categorical field and append the numbers.

    All fields share one packed table, so that a batch costs one gather. This is the "shared
    embedding" backbone of ESMM, ESM2 and HM3; ``hidden`` adds a shared MLP on top. A sequence
    shares the embeddings of the field it lists values of, and adds one vector: their mean.
    """

    starts: Tensor

    def __init__(self, schema: Schema, *, embedding_size: int, hidden: Sequence[int]) -> None:
        super().__init__()
        sizes = [field.size for field in schema.categorical]
        starts = torch.tensor([0, *sizes]).cumsum(0).to(torch.int32)
        self.register_buffer("starts", starts[:-1], persistent=False)
        self.table = nn.Embedding(int(starts[-1]), embedding_size)
        nn.init.normal_(self.table.weight, std=0.01)
        columns = {field.name: column for column, field in enumerate(schema.categorical)}
        self.histories = [(columns[str(field.of)], field.length) for field in schema.sequences]
        self.vector_count, self.vector_size = len(sizes) + len(self.histories), embedding_size
        width = self.vector_count * embedding_size + len(schema.numeric)
        self.mlp = mlp(width, hidden)
        self.width = hidden[-1] if hidden else width

    def forward(self, features: Features) -> Tensor:
        """Return the encodings (B, width)."""
        return self.encode(self.vectors(features), features)

    def vectors(self, features: Features) -> Tensor:
        """Return (B, fields + sequences, size): embeddings, then a summary of each sequence."""
        fields: Tensor = self.table(features.sparse + self.starts)
        if not self.histories:
            return fields
        assert features.sequences is not None
        summaries = []
        for i, (column, length) in enumerate(self.histories):
            ids = features.sequences[:, i, -length:]
            behaviours = self.table(ids + self.starts[column])
            summaries.append(self.summary(i, fields[:, column], behaviours, ids > 0))
        return torch.cat([fields, torch.stack(summaries, 1)], 1)

    def summary(self, index: int, target: Tensor, behaviours: Tensor, known: Tensor) -> Tensor:
        """Return the summary of a sequence, (B, size).

        ``target`` (B, size) is the embedding of the row's own value, ``behaviours`` (B, L, size)
        those of the sequence, of which only the ``known`` (B, L) count.
        """
        return mean_of(behaviours, known)

    def encode(self, vectors: Tensor, features: Features) -> Tensor:
        """Return the encodings (B, width) from the vectors."""
        return self.mlp(torch.cat([vectors.flatten(1), features.dense], 1))


def mean_of(behaviours: Tensor, known: Tensor) -> Tensor:
    """Return the mean (B, size) of the known among behaviours (B, L, size), 0 if none is."""
    weights = known.unsqueeze(2).to(behaviours.dtype)
    return (weights * behaviours).sum(1) / weights.sum(1).clamp_min(1)


class ParallelLinear(nn.Module):
    """``count`` linear maps of the same shape as one batched product.

    Input (B, inputs), shared by the maps, or (count, B, inputs); output (count, B, outputs).
    Each map starts as ``nn.Linear`` does.
    """

    def __init__(self, count: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(count, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count, 1, outputs).uniform_(-bound, bound))

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply every map to its input."""
        if inputs.dim() == 3:
            return torch.baddbmm(self.bias, inputs, self.weight)
        count, width, outputs = self.weight.shape
        flat = inputs @ self.weight.transpose(0, 1).reshape(width, count * outputs)
        return flat.view(-1, count, outputs).transpose(0, 1) + self.bias


class Towers(nn.Module):
    """``count`` MLPs of equal shape, each (B, width) to one logit (B,)."""

    def __init__(self, count: int, width: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [ParallelLinear(count, width, size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        self.layers = nn.Sequential(*layers, ParallelLinear(count, width, 1))
        self.count, self.width = count, width

    def forward(self, encoding: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of each tower; the encoding is shared, or (count, B, width)."""
        logits: Tensor = self.layers(encoding)
        return logits.squeeze(2).unbind(0)

    def probabilities(self, encoding: Tensor) -> tuple[Probability, ...]:
        """Return the probabilities whose logits :meth:`forward` returns."""
        return tuple(map(Probability.from_logit, self(encoding)))

    def hidden(self, encoding: Tensor) -> Tensor:
        """Return what the last layers see, (count, B, ``width``)."""
        seen: Tensor = self.layers[:-1](encoding)
        return seen if seen.dim() == 3 else seen.expand(self.count, -1, -1)

    def read(self, hidden: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of each tower from what :meth:`hidden` returned."""
        logits: Tensor = self.layers[-1](hidden)
        return logits.squeeze(2).unbind(0)


def mlp(width: int, hidden: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Return linear layers of the given sizes, each followed by ReLU and dropout."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
        width = size
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Blueprint:
    """Makes backbones and heads of one size for all methods of a comparison.

    ``make_backbone`` builds a fresh encoder at each call; ``tower`` lists the hidden sizes of
    every head.
    """

    schema: Schema
    make_backbone: Callable[[Schema], Backbone]
    tower: tuple[int, ...]
    dropout: float = 0.0

    def backbone(self) -> Backbone:
        """Return a new encoder; methods that need one per task call this more than once."""
        return self.make_backbone(self.schema)

    def towers(self, count: int, width: int) -> Towers:
        """Return ``count`` parallel heads on encodings of the given width."""
        return Towers(count, width, self.tower, self.dropout)

    def experts(self, count: int, width: int) -> tuple[nn.Module, int]:
        """Return ``count`` first layers of a head, (B, width) to (count, B, size), and ``size``."""
        size = self.tower[0] if self.tower else width
        layers = (ParallelLinear(count, width, size), nn.ReLU(), nn.Dropout(self.dropout))
        return nn.Sequential(*layers), size

    def gates(self, count: int, width: int, experts: int) -> nn.Module:
        """Return ``count`` linear gates, (B, width) to the logits (count, B, experts)."""
        return ParallelLinear(count, width, experts)

    def shared_tower(self, outputs: int, width: int) -> nn.Module:
        """Return one tower whose last layer has several outputs: (B, width) to (B, outputs)."""
        body = mlp(width, self.tower, self.dropout)
        return nn.Sequential(*body, nn.Linear(self.tower[-1] if self.tower else width, outputs))
