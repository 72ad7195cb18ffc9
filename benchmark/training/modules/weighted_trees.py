"""Boosted trees for risks: weighted rows, soft labels, and nuisance models of rows not fitted to.

With weight w, label t and prediction r̂, trees descend the sum of w e(t, r̂), where e is the cross
entropy. As e is linear in its label, a doubly robust risk is one of these, with t outside [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import lightgbm
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.schema import Schema
from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.losses import self_normalised
from benchmark.training.modules.trees import BoostedTrees, TreeMethod, rows_of

FOLDS = 2
NEVER = 1e-6  # the least rate at which trees start

Array = NDArray[np.float64]


class RiskTrees(BoostedTrees):
    """Trees that descend the sum of w e(t, r̂), starting at the mean label.

    Where t may lie outside [0, 1], the sum may have no minimum: bound the values of the leaves by
    the parameter ``max_delta_step``.
    """

    start: Tensor

    def __init__(self, schema: Schema, **parameters: float) -> None:
        super().__init__(schema, **parameters)
        self.options |= {"objective": "none"}  # the derivatives are given
        self.register_buffer("start", torch.zeros((), dtype=torch.float64))

    def descend(
        self, trees: int, features: Features, label: Tensor, weights: Tensor, seed: int
    ) -> int:
        """Add trees fitted to the rows (B,) that weigh more than 0; return their number × trees.

        Rows, labels and weights are the same at every call. Nothing grows where there are too few
        rows to draw one for each tree or to split them.
        """
        seen = weights > 0
        features, label, weights = rows_of(features, seen), label[seen].double(), weights[seen]
        if int(len(label) * self.options.get("bagging_fraction", 1)) == 0:
            return 0
        if self.booster is None:
            mean = (weights * label).sum() / weights.sum()
            self.start = mean.clamp(NEVER, 1 - NEVER).logit()
            booster = self._start(features, label, seed)
            if not booster.dump_model()["feature_infos"]:  # of the columns that can be split
                return 0
            self.booster = booster
        derivatives = _derivatives(*map(_array, (label, weights, self.start)))
        for _ in range(trees):
            self.booster.update(fobj=derivatives)
        return len(label) * trees

    def forward(self, features: Features) -> Tensor:
        """Return the logits (B,)."""
        return super().forward(features) + self.start.to(features.dense)


class CrossFitted(nn.Module):
    """Trees for each of two folds of the rows, grown on the other one, once.

    A model that had seen a row would know its label too well: the propensity of what was clicked
    would be too high.
    """

    def __init__(self, schema: Schema, trees: int, **parameters: float) -> None:
        super().__init__()
        self.count = trees
        self.folds = nn.ModuleList(RiskTrees(schema, **parameters) for _ in range(FOLDS))

    def fit(
        self, features: Features, label: Tensor, weights: Tensor, seed: int
    ) -> tuple[Tensor, int]:
        """Return the probabilities (B,) by trees that have not seen the row, and the work.

        The rows are the same at every call; only the first one grows trees.
        """
        fold = torch.arange(len(label), device=label.device) % FOLDS
        logits, work = torch.zeros_like(label), 0
        for number, trees in enumerate(self.folds):
            assert isinstance(trees, RiskTrees)
            own = fold == number
            if trees.booster is None:
                work += trees.descend(self.count, features, label, weights * ~own, seed)
            logits[own] = trees(rows_of(features, own))
        return logits.sigmoid(), work

    def forward(self, features: Features) -> Tensor:
        """Return the mean logits (B,)."""
        return torch.stack([trees(features) for trees in self.folds]).mean(0)


class PropensityTrees(TreeMethod):
    """Boost trees for the CVR, ``trees``, and cross-fitted ones for the click, ``propensity``.

    A subclass makes both, and has a ``propensity_floor``.
    """

    requires = frozenset({"impression", "click"})

    propensity: CrossFitted
    trees: RiskTrees
    propensity_floor: float

    def forward(self, features: Features) -> Prediction:
        """Predict the CVR, and as CTR the propensity."""
        ctr, cvr = self.propensity(features), self.trees(features)
        return Prediction(cvr=Probability.from_logit(cvr), ctr=Probability.from_logit(ctr))

    def weigh(self, train: Batch, seed: int) -> tuple[Tensor, Tensor, int]:
        """Return the inverse propensities u = o / max(p, floor) (B,), weights (B,) and the work.

        The weights are u, so scaled that their mean over clicks is 1.
        """
        clicked = train.clicked
        everywhere = torch.ones_like(clicked)
        propensity, work = self.propensity.fit(train.features, clicked, everywhere, seed)
        inverse = clicked / propensity.clamp_min(self.propensity_floor)
        return inverse, self_normalised(inverse) * clicked.sum(), work


def _array(values: Tensor) -> Array:
    return values.double().cpu().numpy()


def _derivatives(
    label: Array, weights: Array, start: Array
) -> Callable[[Array, lightgbm.Dataset], tuple[Array, Array]]:
    def of(scores: Array, _rows: lightgbm.Dataset) -> tuple[Array, Array]:
        predicted = 1 / (1 + np.exp(-scores - start))
        return weights * (predicted - label), weights * predicted * (1 - predicted)

    return of
