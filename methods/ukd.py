"""UKD: a teacher blind to clicks labels the rest; a student believes it where it is certain."""

from __future__ import annotations

from dataclasses import replace

from optuna.distributions import FloatDistribution, IntDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import click_cvr_loss, ctr_loss, over_clicks
from benchmark.training.method import Method, Phase
from benchmark.training.modules.distillation import (
    AdversarialTeacher,
    TwoHeadCvr,
    uncertainty_weighted,
)


class UKD(Method):
    r"""Distil a teacher's CVR where nothing was clicked, less so where two heads disagree.

    With click o, conversion r, average :math:`\hat r` and divergence u of two heads under dropout,
    teacher :math:`\hat t`, its click discriminator :math:`\hat d`, and E the mean cross entropy
    over impressions, clicks O or others N:

    .. math:: L_t = E_O(r, \hat t) + w E(o, \hat d), \quad L = E(o, \hat o) + E_O(r, \hat r)
              + \gamma \, \mathrm{mean}_N (u + \exp(-\lambda u) \, e(\hat t, \hat r))

    The discriminator's gradient is reversed in the teacher's features. In L the teacher is frozen:
    its label is without gradient, a stop-gradient.

    Evidence: structure and losses from a write-up that restates the paper's equations.

    Differs from the paper: both heads averaged, dropout on the encoding, means, values of our own.
    """

    name = "UKD"
    citation = """
    @inproceedings{xu2022ukd,
      title = {{UKD}: Debiasing Conversion Rate Estimation via Uncertainty-regularized Knowledge
               Distillation},
      author = {Xu, Zixuan and Wei, Penghui and Zhang, Weimin and Liu, Shaoguo and Wang, Liang
                and Zheng, Bo},
      booktitle = {WWW},
      year = {2022},
      doi = {10.1145/3485447.3512081},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "teacher_epochs": IntDistribution(1, 4),
        "adversarial_weight": FloatDistribution(0.01, 1, log=True),
        "distillation_weight": FloatDistribution(0.1, 10, log=True),
        "uncertainty_scale": FloatDistribution(0.1, 10, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        teacher_epochs: int = 2,
        adversarial_weight: float = 0.1,
        distillation_weight: float = 1.0,
        uncertainty_scale: float = 1.0,
    ) -> None:
        super().__init__(blueprint)
        self.towers = TwoHeadCvr(blueprint, self.backbone.width)
        self.teacher = AdversarialTeacher(blueprint, adversarial_weight)
        self.epochs, self.weight, self.scale = (
            teacher_epochs,
            distillation_weight,
            uncertainty_scale,
        )

    def warm_up(self) -> tuple[Phase, ...]:
        return (Phase(self.epochs, self.teacher.updates),)

    def forward(self, features: Features) -> Prediction:
        return self.towers(self.backbone(features))[0]

    def loss(self, batch: Batch) -> Tensor:
        prediction, uncertainty = self.towers(self.backbone(batch.features))
        label = self.teacher.eval()(batch.features).cvr.value().detach()
        errors = uncertainty_weighted(prediction.cvr.cross_entropy(label), uncertainty, self.scale)
        distilled = self.weight * over_clicks(errors, replace(batch, click=1 - batch.clicked))
        return ctr_loss(prediction, batch) + click_cvr_loss(prediction, batch) + distilled
