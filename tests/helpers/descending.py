"""Methods that learn by gradient descent, small, and what they descend phase by phase."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from benchmark.training.method import Method
from benchmark.training.trainer import Updates
from helpers.plugins import methods_that_load
from helpers.worlds import blueprint, schema

CPU = torch.device("cpu")
HYPER = {"learning_rate": 0.01, "weight_decay": 1e-4}
METHODS = methods_that_load()
DESCENDING = [name for name, kind in METHODS.items() if kind.fit is None]  # not those of trees
each = pytest.mark.parametrize("name", DESCENDING)


def build(name: str, device: torch.device = CPU) -> Method:
    """Return a method with the same initial weights on every device."""
    torch.manual_seed(0)
    return METHODS[name](blueprint(schema())).to(device)


def phases(method: Method) -> Iterator[Updates]:
    """Yield the updates of each phase, at the start of an epoch of it."""
    for updates in (*(phase.updates for phase in method.warm_up()), method.updates):
        method.start_epoch()
        yield updates
