"""Entropic partial optimal transport between rows of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 50
COLUMNS = 256  # at most, so that no size depends on the data
FAR, NOTHING = 1e30, 1e-30


def partial_plan(
    cost: Tensor, rows: Tensor, columns: Tensor, *, mass: float, temperature: float
) -> Tensor:
    """Return the plan (B, K) that moves ``mass`` < 1 of the rows to the columns.

    ``rows`` (B,) and ``columns`` (K,) hold 0 or 1: who takes part. Each row that does owns an
    equal part of a total of 1, each column receives an equal part of ``mass``, and what is not
    moved goes to a dummy column at no cost (Chapel et al., "Partial Optimal Transport with
    Applications on Positive-Unlabeled Learning", 2020). Sinkhorn's iterations end on the rows, so
    that none gives more than it has; the columns are met up to convergence.
    """
    owned = rows / rows.sum().clamp_min(1)
    received = mass * columns / columns.sum().clamp_min(1)
    received = torch.cat([received, 1 - received.sum().view(1)])
    nearest = (cost + FAR * (1 - rows).unsqueeze(1)).amin(0)  # a plan ignores shifts of a column
    kernel = ((nearest - cost) / temperature).clamp_max(0).exp()
    kernel = torch.cat([kernel, torch.ones_like(kernel[:, :1])], 1)
    pull = received
    for _ in range(ROUNDS):
        push = owned / (kernel @ pull).clamp_min(NOTHING)
        pull = received / (push @ kernel).clamp_min(NOTHING)
    push = owned / (kernel @ pull).clamp_min(NOTHING)
    return push.unsqueeze(1) * kernel[:, :-1] * pull[:-1]


def matched_share(
    points: Tensor, rows: Tensor, columns: Tensor, *, mass: float, temperature: float
) -> Tensor:
    """Return which part (B,) of each row is moved to columns, 0 if the row takes no part.

    Both are rows of ``points`` (B, width), of which at most ``COLUMNS`` are columns; the cost is
    their squared distance over its mean. The parts of the rows average to ``mass``, or to 0 if
    there is no column.
    """
    rows, columns = rows.to(points), columns.to(points)
    present, index = columns.topk(min(COLUMNS, len(columns)))
    cost = torch.cdist(points, points[index]).square()
    pairs = (rows.sum() * present.sum()).clamp_min(1)
    cost = cost / (rows @ cost @ present / pairs).clamp_min(NOTHING)
    plan = partial_plan(cost, rows, present, mass=mass, temperature=temperature)
    return plan.sum(1) * rows.sum()
