"""HM3-Joint: HM3's graph of behaviours, trained by the likelihood of whole paths."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctr_loss
from benchmark.training.method import Method


class HM3Joint(Method):
    r"""Fit each step of HM3's graph where it was observed, instead of four marginals.

    With click o, micro m, macro a, conversion r, the six probabilities of HM3, cross entropy e and
    means over all impressions:

    .. math:: L = \mathrm{mean}\, e(o, y_1) + w \, \mathrm{mean}\, o \, (e(m, y_2)
              + m e(a, y_3) + (1 - m) e(a, y_5) + a e(r, y_4) + (1 - a) e(r, y_6))

    At w = 1 this is the negative log likelihood of (o, m, a, r), whose marginals are all that
    HM3's own loss sees: here every head is identified. The steps after the click are learned from
    clicks alone, like the naive CVR. Where a log consists of clicks, the first term is dropped.

    Evidence: ours, derived from the graph of the cited paper by the chain rule; not published.

    Differs from the paper: the loss; heads and composition are the paper's.
    """

    name = "HM3-Joint"
    citation = """
    @inproceedings{wen2021hm3,
      title     = {Hierarchically Modeling Micro and Macro Behaviors via Multi-Task Learning
                   for Conversion Rate Prediction},
      author    = {Wen, Hong and Zhang, Jing and Lv, Fuyu and Bao, Wentian and Wang, Tianyi
                   and Chen, Zulong},
      booktitle = {SIGIR},
      year      = {2021},
      doi       = {10.1145/3404835.3463053},
    }
    """
    requires = frozenset({"click", "micro", "macro"})
    search_space = {"post_click_weight": FloatDistribution(0.1, 10, log=True)}

    def __init__(self, blueprint: Blueprint, *, post_click_weight: float = 1.0) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(6, self.backbone.width)
        self.post_click_weight = post_click_weight

    def forward(self, features: Features) -> Prediction:
        return self._compose(self._steps(features))

    def _steps(self, features: Features) -> tuple[Probability, ...]:
        return tuple(map(Probability.from_logit, self.towers(self.backbone(features))))

    def _compose(self, steps: tuple[Probability, ...]) -> Prediction:
        y1, y2, y3, y4, y5, y6 = steps
        macro = y2.mix(y3, y5)
        return Prediction(ctr=y1, micro=y2, macro=macro, cvr=macro.mix(y4, y6))

    def loss(self, batch: Batch) -> Tensor:
        steps = self._steps(batch.features)
        ctr = ctr_loss(self._compose(steps), batch)
        after_click = batch.clicked * _path_errors(steps, batch)
        return ctr + self.post_click_weight * after_click.mean()


def _path_errors(steps: tuple[Probability, ...], batch: Batch) -> Tensor:
    """Return -log P(m, a, r | click) per row, meaningless where the row is not clicked."""
    micro, macro, conversion = batch.micro, batch.macro, batch.conversion
    assert micro is not None
    assert macro is not None
    _, y2, y3, y4, y5, y6 = steps
    to_macro = micro * y3.cross_entropy(macro) + (1 - micro) * y5.cross_entropy(macro)
    to_conversion = macro * y4.cross_entropy(conversion) + (1 - macro) * y6.cross_entropy(
        conversion
    )
    return y2.cross_entropy(micro) + to_macro + to_conversion
