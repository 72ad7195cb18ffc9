"""ETA: attention to the part of a history that hashes like the target."""

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

    With embeddings e of the history and t of the row's own value of the same field, random
    planes R that never learn, and :math:`s(x) = \mathrm{sign}(R x)`:

    .. math:: K = \text{the } k \text{ least } |s(e_l) - s(t)|, \quad
              z = \sum_{l \in K} \mathrm{softmax}_l(W_q t \cdot W_k e_l / \sqrt d) \, W_v e_l

    The z of each sequence stands beside the embeddings of the fields.

    Evidence: hashing, retrieval and attention verified in public code of others (FuxiCTR), which
    has 32 bits and retrieves 50 of 1000 behaviours; abstract of arXiv 2108.04468.

    Differs from the paper: a behaviour is one id, without the item's other fields; one head of
    attention; no separate attention to the most recent behaviours.
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
