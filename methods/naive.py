"""Naive: the CVR of clicked impressions, taken for the CVR of all."""

from __future__ import annotations

from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import click_cvr_loss
from benchmark.training.method import Method


class Naive(Method):
    r"""Fit the CVR on clicks as if they were a fair sample of impressions.

    With clicked rows O, conversion :math:`r`, prediction :math:`\hat r` and cross entropy e:

    .. math:: L = \frac{1}{|O|} \sum_O e(r, \hat r)

    Biased where what makes a user click also bears on conversion, which is what the other methods
    try to correct. It predicts no CTR.

    Evidence: the baseline BASE of the cited paper, whose loss is verified in secondary sources.

    Differs from the paper: backbone and tower sizes are the benchmark's.
    """

    name = "Naive"
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

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(1, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        (cvr,) = self.towers(self.backbone(features))
        return Prediction(cvr=Probability.from_logit(cvr))

    def loss(self, batch: Batch) -> Tensor:
        return click_cvr_loss(self(batch.features), batch)
