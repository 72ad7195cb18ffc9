"""Boosted trees as a module, and methods of them."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.schema import Schema
from benchmark.training.batch import Features
from benchmark.training.hyperparameters import tuned
from benchmark.training.method import Method

BINS = 255  # per field, LightGBM's default
FIXED: dict[str, Any] = {
    "objective": "binary",
    "max_bin": BINS,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


class BoostedTrees(nn.Module):
    """Grow trees by LightGBM one after the other, each on the gradient of the current log loss.

    ``parameters`` are those of LightGBM. Fields with at most 255 ids are categorical; the ids of
    larger fields are used as numbers, as LightGBM's manual advises. Without trees, all logits are
    0. The trees are part of the state dict.

    Source: https://lightgbm.readthedocs.io/en/stable/Advanced-Topics.html
    """

    def __init__(self, schema: Schema, **parameters: float) -> None:
        super().__init__()
        sizes = [field.size for field in schema.categorical]
        self.categorical = [column for column, size in enumerate(sizes) if size <= BINS]
        self.options = FIXED | parameters
        self.booster: lightgbm.Booster | None = None

    def grow(self, trees: int, features: Features, label: Tensor, seed: int) -> int:
        """Add trees fitted to rows (B,), which are the same at every call, and return B × trees.

        No tree grows if the rows are too few to draw one for each tree.
        """
        if int(len(label) * self.options.get("bagging_fraction", 1)) == 0:
            return 0
        if self.booster is None:
            self.booster = self._start(features, label, seed)
        for _ in range(trees):
            self.booster.update()
        return len(label) * trees

    def _start(self, features: Features, label: Tensor, seed: int) -> lightgbm.Booster:
        parameters = self.options | {"seed": seed}
        rows = lightgbm.Dataset(
            _matrix(features),
            label.cpu().numpy(),
            categorical_feature=self.categorical,
            params=parameters,
        )
        return lightgbm.Booster(parameters, rows)

    def forward(self, features: Features) -> Tensor:
        """Return the logits (B,)."""
        if self.booster is None:
            return features.dense.new_zeros(len(features.sparse))
        logits = self.booster.predict(_matrix(features), raw_score=True, num_threads=1)
        return torch.as_tensor(logits).to(features.dense)

    def get_extra_state(self) -> str:
        """Return the trees as text, for the state dict."""
        return "" if self.booster is None else self.booster.model_to_string()

    def set_extra_state(self, state: str) -> None:
        """Take the trees of a state dict; no further trees can be added to them."""
        self.booster = lightgbm.Booster(model_str=state) if state else None


class TreeMethod(Method):
    """A method of boosted trees: what it tunes, under the names and defaults of LightGBM.

    ``learning_rate`` is the step and ``weight_decay`` the penalty on squared leaves.
    """

    learning_rate: float = tuned(0.1, low=0.03, high=0.3)
    weight_decay: float = tuned(0.0, low=0, high=10, log=False)
    num_leaves: int = tuned(31, low=4, high=256)
    min_child_samples: int = tuned(20, low=5, high=100, log=False)
    feature_fraction: float = tuned(1.0, low=0.4, high=1, log=False)
    bagging_fraction: float = tuned(1.0, low=0.4, high=1, log=False)

    @property
    def growth(self) -> dict[str, float]:
        """LightGBM's parameters of all trees."""
        return {
            "num_leaves": self.num_leaves,
            "min_child_samples": self.min_child_samples,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "learning_rate": self.learning_rate,
            "lambda_l2": self.weight_decay,
        }


def rows_of(features: Features, rows: Tensor) -> Features:
    """Return the ids and numbers of some rows, given by a mask (B,) or by their numbers."""
    return Features(features.sparse[rows], features.dense[rows])


def _matrix(features: Features) -> NDArray[np.float64]:
    return torch.cat([features.sparse.double(), features.dense.double()], 1).cpu().numpy()
