"""Gradients of a loss, and whether two lists of tensors are the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def gradients(loss: Tensor, of: list[Any]) -> list[Tensor]:
    """Return the gradient of a loss, zeros where it does not depend on something."""
    found = torch.autograd.grad(loss, of, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(of, found, strict=True)]


def assert_equal(one: list[Tensor], other: list[Tensor]) -> None:
    assert one
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-14)
