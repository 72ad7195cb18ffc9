"""Order with ties, exactly: rows sorted by a score, alone and within groups.

Sorting 64-bit integers is vectorised in NumPy; sorting by two columns is not. A score becomes 31
bits, its group the bits above them, and one sort orders both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.undefined import UndefinedError

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

BITS = 31
LAST = (1 << BITS) - 1
NO_GROUP = int(np.iinfo(np.int64).min)  # the number of the group in rows that belong to none


@dataclass(frozen=True)
class Order:
    """Rows by an ascending key; tied rows form a block, and no result depends on their order.

    ``rows`` (n,) sorts the rows, ``key`` (n,) is sorted, ``first`` (blocks,) is where each block
    begins. Several metrics share one order, since the sort is most of their cost.
    """

    rows: Integers
    key: NDArray[np.number]
    first: Integers

    @classmethod
    def of(cls, key: NDArray[np.number]) -> Order:
        """Sort the rows.

        Raises:
            ValueError: a key is not a number.
        """
        rows = _sorting(key)
        ordered = key[rows]
        if np.isnan(ordered[-1:]).any():
            raise ValueError("a score is not a number")
        return cls(rows, ordered, np.flatnonzero(starts(ordered)))

    @property
    def sizes(self) -> Integers:
        """The number of rows in each block, (blocks,)."""
        return np.diff(self.first, append=len(self.rows))

    def totals(self, values: Array) -> Array:
        """Return the sum of the values of each block, (blocks,)."""
        ordered = values[self.rows]
        tied = len(self.first) < len(self.rows)
        return np.add.reduceat(ordered, self.first) if tied else ordered

    def means(self, values: Array) -> Array:
        """Return the values (n,) in this order, each replaced by the mean of its block.

        That is its expectation if ties are broken at random.
        """
        return np.repeat(self.totals(values) / self.sizes, self.sizes)


def _sorting(key: NDArray[np.number]) -> Integers:
    """Return what sorts the key; where key and row fit into 64 bits, a sort of these does it."""
    code = key if key.dtype.kind == "i" else _single(key)
    bits = len(key).bit_length()
    if code is None or code.min(initial=0) < 0 or code.max(initial=0) >> (63 - bits):
        return np.argsort(key)
    packed = np.sort((code.astype(np.int64) << bits) | np.arange(len(key)))
    return packed & ((1 << bits) - 1)


def keys(group: Integers, score: Array, *, descending: bool = False) -> Integers:
    """Return integers (n,) that sort by group, then by score; equal for ties in a group.

    ``group`` holds numbers from 0 below 2³², as of :func:`numbered`.
    """
    code = codes(score)
    return (group << BITS) | (LAST - code if descending else code)


def codes(score: Array) -> Integers:
    """Return integers (n,) below 2³¹ in the order of the scores, equal where these are.

    Raises:
        ValueError: a score is not a number.
    """
    code = _single(score)
    if code is not None:
        return code
    order = Order.of(score)
    ranks = np.empty(len(score), dtype=np.int64)
    ranks[order.rows] = np.repeat(np.arange(len(order.first)), order.sizes)
    return ranks


def _single(score: NDArray[np.number]) -> Integers | None:
    """Return the bits of single-precision scores from 0 up, which sort like them; else None.

    Networks predict in single precision.
    """
    with np.errstate(over="ignore"):
        single = score.astype(np.float32) + np.float32(0)  # turns -0 into 0
    exact = (single == score).all() and (single >= 0).all()
    return single.view(np.int32).astype(np.int64) if exact else None


def in_groups(label: Array, score: Array, group: Integers | None) -> tuple[Array, Array, Integers]:
    """Return the rows that belong to a group: those whose number is not ``NO_GROUP``.

    Raises:
        UndefinedError: there are no groups.
    """
    if group is None:
        raise UndefinedError("the log has no groups")
    if (known := group != NO_GROUP).all():
        return label, score, group
    if not known.any():
        raise UndefinedError("no row belongs to a group")
    return label[known], score[known], group[known]


def numbered(group: Integers) -> Integers:
    """Return the groups (n,) numbered from 0; numbers without rows occur if there are few."""
    low, high = int(group.min()), int(group.max())
    if high - low < 4 * len(group):
        return group - low
    return np.unique(group, return_inverse=True)[1]


def starts(ordered: NDArray[np.number]) -> NDArray[np.bool_]:
    """Return where a new value begins, (n,)."""
    return np.concatenate([[True], ordered[1:] != ordered[:-1]])


def sums(group: Integers, values: NDArray[np.number], groups: int) -> Array:
    """Return the sum of the values of each of so many groups, (groups,)."""
    return np.bincount(group, values, minlength=groups).astype(np.float64)
