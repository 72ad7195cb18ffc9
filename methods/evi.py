"""EVI: a teacher that sees the predicted CTR labels what was not clicked."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, ctr_loss, ips_loss
from benchmark.training.method import Method
from benchmark.training.modules.distillation import ConditionedTeacher, InformationTransfer
from benchmark.training.modules.weights import unclicked_loss


class EVI(Method):
    r"""Distil labels and features of a teacher, fitted to all impressions, into the CVR.

    With click o, conversion r, predictions :math:`\hat o, \hat r`, teacher :math:`\hat t` of the
    features and :math:`\hat o`, :math:`u = o / \max(\hat o, \tau)`, :math:`v = (1 - o) / \max(1 -
    \hat o, \tau)` and information loss I of last hidden layers, L is the mean over impressions of

    .. math:: e(o, \hat o) + e(or, \hat o \hat r) + e(or, \hat t)
              + w (u e(r, \hat r) + v e(\hat t, \hat r)) + w_i I

    What the teacher gives carries no gradient. It learns P(click and conversion), too low a label.

    Evidence: authors' code read; defaults are its weights over the CTR's (used for w too, a slip).

    Differs from the paper: towers for mixed experts; CTCVR weighs 1, there 0.5; one layer is
    distilled, there two; unlike in the code, variances learn and features teach one way.
    """

    name = "EVI"
    citation = """
    @inproceedings{fei2025entire,
      title = {Entire-Space Variational Information Exploitation for Post-Click Conversion Rate
               Prediction},
      author = {Fei, Ke and Zhang, Xinyue and Li, Jingjing},
      booktitle = {AAAI},
      year = {2025},
      eprint = {2502.15687},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "cvr_weight": FloatDistribution(0.1, 10, log=True),
        "information_weight": FloatDistribution(0.01, 10, log=True),
        "propensity_floor": FloatDistribution(1e-3, 0.2, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        cvr_weight: float = 2.5,
        information_weight: float = 4.0,
        propensity_floor: float = 1e-3,
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(2, self.backbone.width)
        self.teacher = ConditionedTeacher(blueprint, self.backbone.width, embedding_size=5)
        self.transfer = InformationTransfer(self.towers.width, self.teacher.width)
        self.cvr_weight, self.information_weight = cvr_weight, information_weight
        self.floor = propensity_floor

    def forward(self, features: Features) -> Prediction:
        ctr, cvr = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        hidden = self.towers.hidden(encoding := self.backbone(batch.features))
        ctr, cvr = map(Probability.from_logit, self.towers.read(hidden))
        prediction = Prediction(ctr=ctr, cvr=cvr)
        teacher, taught = self.teacher(encoding, ctr)
        distilled = unclicked_loss(prediction, batch, teacher.value(), self.floor)
        cvr_loss = self.cvr_weight * (ips_loss(prediction, batch, self.floor) + distilled)
        teacher_loss = teacher.cross_entropy(batch.clicked * batch.conversion).mean()
        entire_space = ctr_loss(prediction, batch) + ctcvr_loss(prediction, batch) + teacher_loss
        return entire_space + cvr_loss + self.information_weight * self.transfer(hidden[1], taught)
