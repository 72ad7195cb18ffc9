r"""Semi-synthetic MovieLens 100K: every cell's true CVR and click probability, by its ratings.

The design is that of Schnabel et al. (2016, arXiv 1602.05352) and of the doubly robust literature
after it (Wang et al. 2019, PMLR 97): the rating matrix is completed, its values are cut to a
realistic distribution of ratings r from 1 to 5, a cell is clicked with probability
:math:`p = k \alpha^{\max(0, 4 - r)}`, and predictions are given matrices, each wrong in a way of
its own. A conversion has the probability :math:`0.2 r - 0.1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

Array = NDArray[np.float64]

SHARES = (0.526, 0.242, 0.144, 0.062, 0.026)  # of the ratings 1 to 5 among random items
CLICKED = 0.05  # of all cells
ALPHA = 0.25
FACTORS = 20


@dataclass(frozen=True)
class World:
    """The ratings of all cells, (cells,), whole numbers from 1 to 5, and their propensities."""

    rating: Array
    propensity: Array

    @property
    def cvr(self) -> Array:
        """The probability of a conversion in each cell, were it clicked."""
        return cvr_of(self.rating)


def cvr_of(rating: Array) -> Array:
    """Return the CVR of ratings, of which fractions are allowed."""
    return 0.2 * rating - 0.1


def ratings_file() -> Path:
    """Return the ratings of MovieLens 100K that RecBole's package contains.

    Raises:
        FileNotFoundError: RecBole is not installed.
    """
    spec = find_spec("recbole")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("RecBole is not installed; run `make setup`")
    return Path(spec.origin).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"


def world(path: Path) -> World:
    """Return the world that the ratings in a file give."""
    rating = cut(completed(path))
    shape = ALPHA ** np.maximum(0, 4 - rating)
    return World(rating, shape * CLICKED / shape.mean())


def completed(path: Path) -> Array:
    """Return a value for every cell: the means of its user and item, and a low-rank remainder."""
    users, items, ratings = np.loadtxt(path, skiprows=1, usecols=(0, 1, 2)).T
    user, item = (np.unique(ids, return_inverse=True)[1] for ids in (users, items))
    total = ratings.mean()
    by_user = _mean(user, ratings - total)
    by_item = _mean(item, ratings - total - by_user[user])
    remainder = csr_array((ratings - total - by_user[user] - by_item[item], (user, item)))
    left, values, right = svds(remainder, FACTORS, v0=np.ones(min(remainder.shape)))
    completion: Array = (total + by_user[:, None] + by_item + (left * values) @ right).ravel()
    return completion


def _mean(group: NDArray[np.int64], values: Array) -> Array:
    means: Array = np.bincount(group, values) / np.bincount(group)
    return means


def cut(values: Array) -> Array:
    """Return ratings from 1 to 5 in the order of the values, each as often as ``SHARES`` says."""
    quantile = np.empty(len(values))
    quantile[np.argsort(values, kind="stable")] = (np.arange(len(values)) + 0.5) / len(values)
    below = np.searchsorted(np.cumsum(SHARES)[:-1], quantile, side="right")
    return 1 + below.astype(np.float64)


def predictions(rating: Array, seed: int = 0) -> dict[str, Array]:
    """Return the predicted ratings of each matrix, (cells,).

    ONE, THREE and FOUR flip as many cells of that rating to 5 as there are cells of rating 5;
    ROTATE predicts one less, and 5 in place of 1; SKEW is normal about the rating, the wider the
    lower it is, within 1 and 5; CRS is 3 up to a rating of 3, else 4.
    """
    rng = np.random.default_rng(seed)
    flipped = {"ONE": 1, "THREE": 3, "FOUR": 4}
    return {
        **{name: _flipped(rating, value, rng) for name, value in flipped.items()},
        "ROTATE": np.where(rating == 1, 5.0, rating - 1),
        "SKEW": np.clip(rng.normal(rating, (6 - rating) / 2), 1, 5),
        "CRS": np.where(rating <= 3, 3.0, 4.0),
    }


def _flipped(rating: Array, value: int, rng: np.random.Generator) -> Array:
    candidates = np.flatnonzero(rating == value)
    count = min(len(candidates), int((rating == 5).sum()))
    flipped = rating.copy()
    flipped[rng.choice(candidates, count, replace=False)] = 5
    return flipped
