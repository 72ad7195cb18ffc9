"""Experts that belong to a task or are shared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmark.training.blueprint import Blueprint


class GroupedExperts(nn.Module):
    """Experts in groups, one group per task and the shared group last.

    ``counts`` are the groups' sizes and may be 0; an expert is one hidden layer of ``width``.
    ``foreign`` (groups, experts) marks the experts of another task; none is foreign to the shared
    group.
    """

    foreign: Tensor

    def __init__(self, blueprint: Blueprint, counts: Sequence[int], inputs: int) -> None:
        super().__init__()
        self.counts = tuple(counts)
        self.layer, self.width = blueprint.experts(sum(counts), inputs)
        group = torch.arange(len(self.counts)).unsqueeze(1)
        owner, shared = group.repeat_interleave(torch.tensor(self.counts)), len(self.counts) - 1
        foreign = (owner != group) & (owner != shared) & (group != shared)
        self.register_buffer("foreign", foreign, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (experts, B, width) from one input per group, (groups, B, inputs)."""
        spread = [rows.expand(n, -1, -1) for rows, n in zip(inputs, self.counts, strict=True)]
        outputs: Tensor = self.layer(torch.cat(spread))
        return outputs
