"""Experts that belong to one task or are shared by all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmark.training.blueprint import Blueprint


class GroupedExperts(nn.Module):
    """Apply groups of experts: one group per task, and the shared group last.

    ``counts`` are the sizes of the groups, which may be 0. An expert is one hidden layer of width
    ``width``. ``foreign`` (groups, experts) marks the experts of other tasks; no expert is foreign
    to the shared group.
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
        """Return the outputs (experts, B, width) from one input per group, (groups, B, inputs)."""
        spread = [rows.expand(n, -1, -1) for rows, n in zip(inputs, self.counts, strict=True)]
        outputs: Tensor = self.layer(torch.cat(spread))
        return outputs
