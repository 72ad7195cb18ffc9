"""Experts that belong to a task or are shared, and their mixtures by softmax gates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmark.training.blueprint import Blueprint, ParallelLinear


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


class Extraction(nn.Module):
    """One level of customised gates: per path, a mixture of its task's experts and the shared.

    Maps (groups, B, inputs) to (paths, B, ``width``), where the paths are the first groups; the
    shared path, where it is one of them, mixes all experts.
    """

    def __init__(
        self, blueprint: Blueprint, counts: Sequence[int], inputs: int, *, paths: int
    ) -> None:
        super().__init__()
        self.experts = GroupedExperts(blueprint, counts, inputs)
        self.gates = ParallelLinear(paths, inputs, sum(counts))
        self.paths, self.width = paths, self.experts.width

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the paths' next representations."""
        hidden = self.experts.foreign[: self.paths].unsqueeze(1)
        logits = self.gates(inputs[: self.paths]).masked_fill(hidden, -math.inf)
        return torch.einsum("pbe,ebd->pbd", logits.softmax(2), self.experts(inputs))
