"""Contrastive learning: two views of an impression agree more than those of different ones."""

from __future__ import annotations

import math
from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import normalize


def same_ids(ids: Tensor) -> Tensor:
    """Return (B, B) whether two rows of ``ids`` (B, fields) agree in every field."""
    agree = (column.unsqueeze(1) == column for column in ids.unbind(1))
    everywhere = torch.ones(len(ids), len(ids), dtype=torch.bool, device=ids.device)
    return reduce(torch.logical_and, agree, everywhere)


def contrastive_loss(
    first: Tensor, second: Tensor, same: Tensor, alike: Tensor, temperature: float
) -> Tensor:
    r"""Return the supervised contrastive loss of two views (B, width), each the anchor once.

    ``same`` (B, B) marks rows that are one impression, on the diagonal at least: a row's other
    view, and that of its doubles, is a positive and its own view takes no part. ``alike`` (B, B)
    marks further positives, of either view. With cosine similarity s over the temperature,
    positives P of anchor i and all A that take part, the mean over anchors of

    .. math:: - \frac{1}{|P|} \sum_{p \in P} \log
              \frac{\exp s_{ip}}{\frac{1}{2B} \sum_{a \in A} \exp s_{ia}}

    The average in place of a sum keeps the loss from growing with the batch.
    """
    first, second = normalize(first, dim=1), normalize(second, dim=1)
    one = _one_way(first, second, same, alike, temperature)
    return one + _one_way(second, first, same, alike, temperature)


def _one_way(
    anchor: Tensor, other: Tensor, same: Tensor, alike: Tensor, temperature: float
) -> Tensor:
    within = (anchor @ anchor.T / temperature).masked_fill(same, -math.inf)
    similarity = torch.cat([anchor @ other.T / temperature, within], 1)
    positive = torch.cat([same | alike, alike & ~same], 1)
    everyone = similarity.logsumexp(1, keepdim=True) - math.log(similarity.shape[1])
    share = torch.where(positive, similarity - everyone, 0)
    return -(share.sum(1) / positive.sum(1)).mean()
