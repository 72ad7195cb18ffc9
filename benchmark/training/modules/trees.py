"""Boosted trees as a module. No other file imports LightGBM."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.schema import Schema
from benchmark.training.batch import Features

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


def _matrix(features: Features) -> NDArray[np.float64]:
    return torch.cat([features.sparse.double(), features.dense.double()], 1).cpu().numpy()
