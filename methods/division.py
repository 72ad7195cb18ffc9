"""DIVISION: the CVR as the quotient of a CTCVR and a CTR that know nothing of each other."""

from __future__ import annotations

from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.method import Method


class Division(Method):
    r"""Train a CTR and a CTCVR apart, over all impressions, and divide.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat c` of separate
    networks and e the mean cross entropy over all impressions:

    .. math:: L = e(o, \hat o) + e(or, \hat c), \quad \hat r = \min(\hat c / \hat o, 1)

    The quotient is right if both networks are, but it multiplies their errors where
    :math:`\hat o` is small, and nothing keeps it below 1.

    Evidence: the baseline DIVISION of the cited paper, by secondary sources.

    Differs from the paper: quotients are cut at 1 - 1e-6; tower sizes are the benchmark's.
    """

    name = "DIVISION"
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

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__(blueprint)
        self.ctcvr_backbone = blueprint.backbone()
        self.ctr_tower = blueprint.towers(1, self.backbone.width)
        self.ctcvr_tower = blueprint.towers(1, self.ctcvr_backbone.width)

    def forward(self, features: Features) -> Prediction:
        ctr, ctcvr = self._both(features)
        return Prediction(ctr=ctr, cvr=ctcvr.given(ctr))

    def _both(self, features: Features) -> tuple[Probability, Probability]:
        (ctr,) = self.ctr_tower(self.backbone(features))
        (ctcvr,) = self.ctcvr_tower(self.ctcvr_backbone(features))
        return Probability.from_logit(ctr), Probability.from_logit(ctcvr)

    def loss(self, batch: Batch) -> Tensor:
        ctr, ctcvr = self._both(batch.features)
        click_loss = ctr.cross_entropy(batch.clicked).mean()
        return click_loss + ctcvr.cross_entropy(batch.clicked * batch.conversion).mean()
