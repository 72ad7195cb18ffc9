"""References of equal capacity: what a method gains beyond what its parameters alone would give.

A method with more heads has more parameters. To tell debiasing from capacity, the reference method
is trained once more with wider towers, so that it has as many parameters as the method within a
tolerance, on the same backbone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from benchmark.config import BackboneParams
from benchmark.references import is_matched
from benchmark.schema import Schema
from benchmark.training.backbones import blueprint
from benchmark.training.method import Method

WIDEST = 64  # times the tower of the protocol
_DRAWS = frozenset({Tensor.normal_, Tensor.uniform_})


def parameters(kind: type[Method], schema: Schema, backbone: BackboneParams) -> int:
    """Return how many parameters a method has with its default hyper-parameters."""
    with torch.random.fork_rng(devices=[]), Uninitialized():
        model = kind(blueprint(schema, backbone))
    return sum(parameter.numel() for parameter in model.parameters())


class Uninitialized(TorchFunctionMode):
    """Draw no initial values: memory that is never touched costs nothing, however large."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _DRAWS or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else next(iter((kwargs or {}).values()))
        return func(*args, **(kwargs or {}))


def matched(
    reference: type[Method], counts: Iterable[int], schema: Schema, backbone: BackboneParams
) -> dict[int, BackboneParams]:
    """Return backbones that give the reference as many parameters as methods have, by number.

    ``counts`` are those of the methods. A backbone serves all methods within the tolerance; none
    is returned for methods with as many parameters as the reference has anyway, or with fewer, and
    where wider towers do not lead to the number.
    """
    backbones = {parameters(reference, schema, backbone): backbone}
    least = min(backbones)
    for count in sorted(set(counts)):
        if count < least or any(is_matched(known, count) for known in backbones):
            continue
        wider = _widened(reference, count, schema, backbone)
        reached = parameters(reference, schema, wider)
        if is_matched(reached, count):
            backbones[reached] = wider
    del backbones[least]
    return backbones


def _widened(
    reference: type[Method], count: int, schema: Schema, backbone: BackboneParams
) -> BackboneParams:
    """Return the narrowest towers with at least so many parameters, or the widest."""
    low, high = 1.0, float(WIDEST)
    while high - low > 0.01:
        middle = (low + high) / 2
        if parameters(reference, schema, _scaled(backbone, middle)) < count:
            low = middle
        else:
            high = middle
    return _scaled(backbone, high)


def _scaled(backbone: BackboneParams, factor: float) -> BackboneParams:
    sizes: dict[str, Any] = {"tower": tuple(round(factor * size) for size in backbone.tower)}
    return backbone.model_copy(update=sizes)
