"""HM3's graph of behaviours, learned by the likelihood of whole paths after the click.

The six steps are y1 click, y2 micro, y3 macro after micro, y4 conversion after macro, y5 macro
without micro and y6 conversion without macro.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctcvr_loss, path_loss
from benchmark.training.method import Method

Steps = tuple[Probability, ...]


@dataclass(frozen=True)
class Path:
    """Labels after the click, (B,), each of the rows that reach its step: P(·) or what happened."""

    micro: Tensor
    macro_after_micro: Tensor
    macro_without: Tensor
    conversion_after_macro: Tensor
    conversion_without: Tensor

    @classmethod
    def observed(cls, batch: Batch) -> Path:
        """Return what was logged; it is meaningless where the row is not clicked."""
        micro, macro, conversion = batch.micro, batch.macro, batch.conversion
        assert micro is not None
        assert macro is not None
        return cls(micro, macro, macro, conversion, conversion)

    @classmethod
    def imputed(cls, steps: Steps) -> Path:
        """Return what y2 to y6 expect, without gradient."""
        y2, y3, y4, y5, y6 = (step.value().detach() for step in steps)
        return cls(y2, y3, y5, y4, y6)

    def errors(self, steps: Steps) -> Tensor:
        """Return the cross entropy of a path, -log P(m, a, r | click) where it was observed, (B,).

        ``steps`` are y2 to y6. Of an imputed path, it is the expectation: each step counts as often
        as it is reached.
        """
        y2, y3, y4, y5, y6 = steps
        macro = self.micro * self.macro_after_micro + (1 - self.micro) * self.macro_without
        to_macro = self.micro * y3.cross_entropy(self.macro_after_micro)
        to_macro = to_macro + (1 - self.micro) * y5.cross_entropy(self.macro_without)
        to_conversion = macro * y4.cross_entropy(self.conversion_after_macro)
        to_conversion = to_conversion + (1 - macro) * y6.cross_entropy(self.conversion_without)
        return y2.cross_entropy(self.micro) + to_macro + to_conversion


class PathMethod(Method):
    """The network of HM3: six towers on one encoding, and what they compose to."""

    requires = frozenset({"click", "micro", "macro"})

    def build(self, blueprint: Blueprint) -> None:
        """Make the towers."""
        self.towers = blueprint.towers(6, self.backbone.width)

    def steps(self, features: Features) -> Steps:
        """Return y1 to y6."""
        return self.towers.probabilities(self.backbone(features))

    def forward(self, features: Features) -> Prediction:
        """Predict all stages."""
        return compose(self.steps(features))


def compose(steps: Steps) -> Prediction:
    """Return what six steps predict of each stage."""
    y1, y2, y3, y4, y5, y6 = steps
    macro = y2.mix(y3, y5)
    return Prediction(ctr=y1, micro=y2, macro=macro, cvr=macro.mix(y4, y6))


def entire_space_loss(prediction: Prediction, batch: Batch) -> Tensor:
    """Return HM3's losses over impressions, but for that of the click: their sum."""
    behaviours = path_loss(prediction, batch, "micro") + path_loss(prediction, batch, "macro")
    return behaviours + ctcvr_loss(prediction, batch)
