"""Behaviour histories: what a user did before each row of a log in time order."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray


def clicked_before(
    user: NDArray[Any], item: NDArray[np.int64], click: NDArray[np.bool_], length: int
) -> pl.Series:
    """Return per row the items of its user's last clicks in earlier rows, the most recent last.

    Rows are in time order; items are integers from 0 up; at most ``length`` are kept.
    """
    order = np.argsort(user, kind="stable")
    owner, clicked = user[order], click[order]
    before: NDArray[np.int64] = np.cumsum(clicked) - clicked  # in all rows above, of any user
    starts = np.append(True, owner[1:] != owner[:-1])
    own = np.maximum.accumulate(np.where(starts, before, 0))
    place = before[:, None] + np.arange(-length, 0)
    items = np.append(item[order][clicked], -1)[np.maximum(place, 0)]
    rows = np.empty_like(items)
    rows[order] = np.where(place >= own[:, None], items, -1)
    lists = pl.Series(rows, dtype=pl.Array(pl.Int64, length)).arr.to_list()
    return lists.list.eval(pl.element().filter(pl.element() >= 0))
