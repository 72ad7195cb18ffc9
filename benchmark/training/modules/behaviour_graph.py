"""Behaviours after a click as the nodes of a graph, joined by how often they occur together."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BehaviourGraph(nn.Module):
    r"""Average the nodes' embeddings along the edges, twice, and pool them by attention.

    With co-occurrences :math:`N_{kl}` of behaviours, counted by :meth:`observe` from 1:

    .. math:: A_{kl} = N_{kl} / \sum_j N_{kj}, \quad H \leftarrow \mathrm{ReLU}(A H W), \quad
              z = \sum_k \mathrm{softmax}_k(v \cdot H_k) H_k
    """

    cooccurrences: Tensor

    def __init__(self, nodes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("cooccurrences", torch.ones(nodes, nodes))
        self.convolutions = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.attention = nn.Linear(width, 1, bias=False)

    def observe(self, labels: Tensor) -> None:
        """Count labels (nodes, B), 0 where a behaviour did not follow; only in training mode."""
        if self.training:
            self.cooccurrences += labels @ labels.T

    def forward(self, nodes: Tensor) -> Tensor:
        """Return the pooled embedding (B, width) of nodes (nodes, B, width)."""
        adjacency = self.cooccurrences / self.cooccurrences.sum(1, keepdim=True)
        for convolution in self.convolutions:
            nodes = convolution(torch.einsum("kl,lbd->kbd", adjacency, nodes)).relu()
        return (self.attention(nodes).softmax(0) * nodes).sum(0)
