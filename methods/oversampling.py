"""DNN-OS: conversions counted several times, and the prediction corrected for it."""

from __future__ import annotations

import math

from optuna.distributions import IntDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.method import Method


class Oversampling(Method):
    r"""Fit the CVR on clicks of which each conversion is there k times.

    With clicked rows O, conversion :math:`r`, weight :math:`v = 1 + (k - 1) r`, the prediction
    :math:`\hat r'` for the inflated rows, and cross entropy e:

    .. math:: L = \frac{\sum_O v \, e(r, \hat r')}{\sum_O v}, \quad
              \hat r = \frac{\hat r'}{\hat r' + (1 - \hat r') k}

    The weight is what k copies amount to. The correction inverts the inflation exactly (a shift of
    the logit by log k), so that the method is as calibrated as the naive one, and as biased by
    selection: it treats rarity, not bias. It predicts no CTR.

    Evidence: a baseline of the cited paper, by secondary sources; the correction is an identity.

    Differs from the paper: weights instead of copies; the correction, without which the CVR would
    be overestimated, is ours; k is tuned, and its default is ours.
    """

    name = "DNN-OS"
    citation = """
    @inproceedings{ma2018entire,
      title     = {Entire Space Multi-Task Model: An Effective Approach for Estimating Post-Click
                   Conversion Rate},
      author    = {Ma, Xiao and Zhao, Liqin and Huang, Guan and Wang, Zhi and Hu, Zelin
                   and Zhu, Xiaoqiang and Gai, Kun},
      booktitle = {SIGIR},
      year      = {2018},
      doi       = {10.1145/3209978.3210104},
    }
    """
    requires = frozenset({"click"})
    search_space = {"copies": IntDistribution(2, 20, log=True)}

    def __init__(self, blueprint: Blueprint, *, copies: int = 5) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(1, self.backbone.width)
        self.copies = copies

    def forward(self, features: Features) -> Prediction:
        return Prediction(cvr=Probability.from_logit(self._logit(features) - math.log(self.copies)))

    def _logit(self, features: Features) -> Tensor:
        (logit,) = self.towers(self.backbone(features))
        return logit

    def loss(self, batch: Batch) -> Tensor:
        inflated = Probability.from_logit(self._logit(batch.features))
        weights = batch.clicked * (1 + (self.copies - 1) * batch.conversion)
        errors = inflated.cross_entropy(batch.conversion)
        return (weights * errors).sum() / weights.sum().clamp_min(1)
