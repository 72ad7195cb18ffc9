"""Which values of a measure are better: the one place that choosing and reporting both read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Direction:
    """``cost`` of a value is lower for better ones; ``arrow`` shows the same to readers."""

    arrow: str
    cost: Callable[[Array], Array]


def _distance_to_one(ratio: Array) -> Array:
    return np.abs(np.log(np.maximum(ratio, 1e-38)))


HIGHER, LOWER = Direction("↑", np.negative), Direction("↓", np.positive)
ZERO, ONE = Direction("→0", np.abs), Direction("→1", _distance_to_one)
