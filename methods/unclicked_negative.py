"""AMAN: every unclicked impression counted as one that would not have converted."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.method import Method


class UnclickedNegative(Method):
    r"""Fit the CVR over all impressions, an unclicked one being a negative of weight w.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, cross entropy e and the
    mean over all impressions:

    .. math:: L = \mathrm{mean}\, (o \, e(r, \hat r) + w (1 - o) \, e(0, \hat r))

    It underestimates: where clicks have probability c and convert with probability p, the best
    prediction is :math:`cp / (c + w (1 - c))`, which is the CTCVR, cp, at w = 1. The order of
    impressions then is that of the CTCVR as well. It predicts no CTR.

    Evidence: "all missing as negative" by a summary of the cited paper; as a baseline for the CVR,
    there with sampled negatives, by secondary sources on ESMM.

    Differs from the paper: cross entropy of a network in place of a factorised matrix; drawing
    negatives at the rate w is replaced by its expectation, the weight w.
    """

    name = "AMAN"
    citation = """
    @inproceedings{pan2008one,
      title     = {One-Class Collaborative Filtering},
      author    = {Pan, Rong and Zhou, Yunhong and Cao, Bin and Liu, Nathan N. and Lukose, Rajan
                   and Scholz, Martin and Yang, Qiang},
      booktitle = {ICDM},
      year      = {2008},
      doi       = {10.1109/ICDM.2008.16},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {"negative_weight": FloatDistribution(0.01, 1, log=True)}

    def __init__(self, blueprint: Blueprint, *, negative_weight: float = 1.0) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(1, self.backbone.width)
        self.negative_weight = negative_weight

    def forward(self, features: Features) -> Prediction:
        (cvr,) = self.towers(self.backbone(features))
        return Prediction(cvr=Probability.from_logit(cvr))

    def loss(self, batch: Batch) -> Tensor:
        cvr, clicked = self(batch.features).cvr, batch.clicked
        negative = -self.negative_weight * (1 - clicked) * cvr.log_not
        return (clicked * cvr.cross_entropy(batch.conversion) + negative).mean()
