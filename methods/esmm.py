"""ESMM: the CVR learned over all impressions, as the factor that makes a CTR a CTCVR."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss
from benchmark.training.method import Method


class ESMM(Method):
    r"""Supervise CTR and CTCVR over all impressions, and the CVR only through their product.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r` and e the mean
    cross entropy over all impressions:

    .. math:: L = e(o, \hat o) + w_c e(or, \hat o \hat r)

    The gradient of the second term reaches :math:`\hat o` too, and on every unclicked impression
    it lowers :math:`\hat r`.

    Evidence: loss verified in the authors' published code.

    Differs from the paper: :math:`w_c`, there 1, is tuned around 1; tower sizes are the
    benchmark's.
    """

    name = "ESMM"
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
    requires = frozenset({"impression", "click"})
    search_space = {"ctcvr_weight": FloatDistribution(0.1, 10, log=True)}

    def __init__(self, blueprint: Blueprint, *, ctcvr_weight: float = 1.0) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(2, self.backbone.width)
        self.ctcvr_weight = ctcvr_weight

    def forward(self, features: Features) -> Prediction:
        ctr, cvr = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return ctr_loss(prediction, batch) + self.ctcvr_weight * ctcvr_loss(prediction, batch)
