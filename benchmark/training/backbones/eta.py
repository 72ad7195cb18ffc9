"""ETA attends to the part of a history whose hashes are close to that of the target."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveInt
from torch import Tensor, nn

from benchmark.schema import Schema
from benchmark.training.backbones.options import Options
from benchmark.training.backbones.retrieval import (
    SimHash,
    TargetAttention,
    check_history,
    nearest,
    taken,
)
from benchmark.training.blueprint import Embeddings


class ETAOptions(Options):
    """The options of ETA."""

    bits: PositiveInt = 32
    """The length of a hash, in bits."""
    retrieved: PositiveInt = 20
    """The number of behaviours that are retrieved from the history."""


class ETA(Embeddings):
    r"""Attend from the target to the k behaviours of least Hamming distance to it.

    Let e be the embeddings of the history, t the embedding of the row's own value of the same
    field, R random planes that are never trained, and :math:`s(x) = \mathrm{sign}(R x)`. Then

    .. math:: K = \text{the } k \text{ least } |s(e_l) - s(t)|, \quad
              z = \sum_{l \in K} \mathrm{softmax}_l(W_q t \cdot W_k e_l / \sqrt d) \, W_v e_l

    The encoder concatenates the z of each sequence with the embeddings of the fields.

    Evidence: We read the abstract of arXiv 2108.04468 and verified hashing, retrieval and attention
    in public code by others (FuxiCTR), which uses 32 bits and retrieves 50 of 1000 behaviours.

    Differs from the paper: A behaviour is one id, without the item's other fields. The attention
    has one head. The most recent behaviours have no attention of their own.
    """

    def __init__(
        self, schema: Schema, *, embedding_size: int, hidden: Sequence[int], options: ETAOptions
    ) -> None:
        check_history("ETA", schema)
        super().__init__(schema, embedding_size=embedding_size, hidden=hidden)
        self.hash = SimHash(embedding_size, options.bits)
        self.attentions = nn.ModuleList(TargetAttention(embedding_size) for _ in schema.sequences)
        self.retrieved = options.retrieved

    def summary(self, index: int, target: Tensor, behaviours: Tensor, known: Tensor) -> Tensor:
        """Return the attended vector (B, size)."""
        places = nearest(self.hash(target), self.hash(behaviours), known, self.retrieved)
        return self.attentions[index](target, taken(behaviours, places), taken(known, places))
