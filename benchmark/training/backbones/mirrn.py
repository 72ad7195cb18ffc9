"""MIRRN retrieves interests of several granularities from a history and refines each of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from benchmark.schema import Schema
from benchmark.training.backbones.options import Options, check_heads
from benchmark.training.backbones.retrieval import (
    SimHash,
    TargetAttention,
    check_history,
    nearest,
    taken,
)
from benchmark.training.blueprint import Embeddings, mean_of


class MIRRNOptions(Options):
    """The options of MIRRN."""

    bits: PositiveInt = 32
    """The length of a hash, in bits."""
    retrieved: PositiveInt = 20
    """The number of behaviours that each query retrieves from the history."""
    recent: PositiveInt = 16
    """The number of last behaviours whose mean is the local query."""
    heads: PositiveInt = 2
    """The heads of the Fourier filter; they must divide ``embedding_size``."""


class MIRRN(Embeddings):
    r"""Retrieve by the target, the recent past and the whole history, then filter and attend.

    There are three queries: the target's embedding t, the mean of the last few behaviours and the
    mean of all behaviours. Each query retrieves the k behaviours that are nearest by SimHash. Their
    embeddings, in temporal order and with an embedding p of their position added, are filtered in
    the frequency domain and averaged. With a complex matrix C per query, block diagonal by heads,

    .. math:: z_q = \mathrm{mean}\, \mathrm{LayerNorm}(x + F^{-1}(C \, F(x))), \quad x = e_K + p

    and the summary of the history is the attention of t to the three z.

    Evidence: We read the abstract and summaries of the paper (KDD 2025,
    doi 10.1145/3690624.3709438) and verified queries, retrieval, filter and attention in public
    code by others (FuxiCTR), which uses 32 bits, 16 recent behaviours and retrieves 50 of 1000.

    Differs from the paper: The paper's global query comes from clusters; in that code and here it
    is a mean. The embeddings of positions do not depend on the target. The blocks of C are full,
    where that code uses their diagonals. Averages exclude padding. A behaviour is one id. The
    attention has one head, and there is no short-term part.
    """

    def __init__(
        self, schema: Schema, *, embedding_size: int, hidden: Sequence[int], options: MIRRNOptions
    ) -> None:
        check_history("MIRRN", schema)
        check_heads("MIRRN", embedding_size, options.heads)
        super().__init__(schema, embedding_size=embedding_size, hidden=hidden)
        self.hash = SimHash(embedding_size, options.bits)
        self.interests = nn.ModuleList(
            Interests(field.length, embedding_size, options) for field in schema.sequences
        )

    def summary(self, index: int, target: Tensor, behaviours: Tensor, known: Tensor) -> Tensor:
        """Return the interest (B, size) that the target finds in the history."""
        return self.interests[index](target, behaviours, known, self.hash)


class Interests(nn.Module):
    """Summarise one history by its interests of three granularities."""

    def __init__(self, length: int, size: int, options: MIRRNOptions) -> None:
        super().__init__()
        self.position = nn.Parameter(0.01 * torch.randn(length, size))
        self.filters = nn.ModuleList(FourierFilter(size, options.heads) for _ in range(3))
        self.attention = TargetAttention(size)
        self.retrieved, self.recent = options.retrieved, options.recent

    def forward(
        self, target: Tensor, behaviours: Tensor, known: Tensor, signs: nn.Module
    ) -> Tensor:
        """Return (B, size) from (B, size), (B, L, size) and (B, L)."""
        local = mean_of(behaviours[:, -self.recent :], known[:, -self.recent :])
        queries = (target, local, mean_of(behaviours, known))
        history, positioned, interests = signs(behaviours), behaviours + self.position, []
        for query, refine in zip(queries, self.filters, strict=True):
            nearby = nearest(signs(query), history, known, self.retrieved)
            interests.append(refine(taken(positioned, nearby), taken(known, nearby)))
        granularities = torch.stack(interests, 1)
        return self.attention(target, granularities, known.any(1, keepdim=True).expand(-1, 3))


class FourierFilter(nn.Module):
    """Mix the features of a subsequence at each frequency within heads, then average over time."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(heads, size // heads, size // heads, 2))
        self.norm = nn.LayerNorm(size)

    def forward(self, behaviours: Tensor, known: Tensor) -> Tensor:
        """Return (B, size) from (B, count, size) and what of it is known, (B, count)."""
        behaviours = behaviours * known.unsqueeze(2)
        spectrum = torch.fft.rfft(behaviours, dim=1, norm="ortho").unflatten(
            2, self.weight.shape[:2]
        )
        mixed = torch.einsum("bfhi,hio->bfho", spectrum, torch.view_as_complex(self.weight))
        change = torch.fft.irfft(mixed.flatten(2), n=behaviours.shape[1], dim=1, norm="ortho")
        return mean_of(self.norm(behaviours + change), known)
