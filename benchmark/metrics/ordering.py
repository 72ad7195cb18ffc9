"""Order with ties, exactly: integers that sort like scores, alone and within groups.

Sorting 64-bit integers is vectorised in NumPy; sorting by two columns is not. A score becomes 31
bits, its group the bits above them, and one sort orders both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

BITS = 31
LAST = (1 << BITS) - 1


def keys(group: Integers, score: Array, *, descending: bool = False) -> Integers:
    """Return integers (n,) that sort by group, then by score; equal for ties in a group.

    ``group`` holds numbers from 0 below 2³², as of :func:`numbered`.
    """
    code = codes(score)
    return (group << BITS) | (LAST - code if descending else code)


def codes(score: Array) -> Integers:
    """Return integers (n,) below 2³¹ in the order of the scores, equal where these are.

    The bits of a single-precision number from 0 up are such an integer; networks predict in
    single precision. Other scores are replaced by their ranks, which takes a sort.

    Raises:
        ValueError: a score is not a number.
    """
    with np.errstate(over="ignore"):
        single = score.astype(np.float32) + np.float32(0)  # turns -0 into 0
    if (single == score).all() and (single >= 0).all():
        return single.view(np.int32).astype(np.int64)
    return _ranks(score)


def _ranks(score: Array) -> Integers:
    order = np.argsort(score)
    ordered = score[order]
    if np.isnan(ordered[-1:]).any():
        raise ValueError("a score is not a number")
    ranks = np.empty(len(score), dtype=np.int64)
    ranks[order] = np.cumsum(starts(ordered)) - 1
    return ranks


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


def tie_means(ordered: NDArray[np.number], values: Array) -> Array:
    """Return the values (n,), each replaced by the mean of those that are tied with it.

    That is its expectation if ties are broken at random, so no result depends on the order of rows.
    """
    first = np.flatnonzero(starts(ordered))
    sizes = np.diff(first, append=len(ordered))
    return np.repeat(np.add.reduceat(values, first) / sizes, sizes)
