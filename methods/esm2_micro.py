from dataclasses import replace

import torch

from benchmark.method import Batch, Blueprint, Features, Method, Prediction, Tensor, losses, tuned


class ESM2Micro(Method):
    r"""ESM²+Mi is ESM² with any behaviour after the click, micro or macro, as the step between.

    With :math:`y_1` P(click), :math:`y_2` P(d | click), :math:`y_3` P(conversion | d) and
    :math:`y_4` P(conversion | not d), labels click :math:`o`, micro :math:`m`, macro :math:`a`,
    their union :math:`d = \max(m, a)` and conversion :math:`r`, and the mean cross entropy
    :math:`e` over all impressions:

    .. math:: \hat r = y_2 y_3 + (1 - y_2) y_4, \quad
              L = e(o, y_1) + w_d e(od, y_1 y_2) + w_c e(or, y_1 \hat r)

    Where a dataset consists of clicks, :math:`y_1 = 1` and its term is dropped.

    Evidence: it is a baseline of the cited paper, which adds micro behaviours to ESM² without a
    hierarchy. We do not know how exactly; the union is our reading.

    Differs from the paper: the union may not be its construction, and the weights are tuned.

    Origin of the defaults: ``action_weight`` and ``ctcvr_weight`` are those of ESM². The weights
    of this baseline are not known to us.
    """

    name = "ESM²+Mi"
    cite = "wen2021hm3"
    requires = frozenset({"click", "micro", "macro"})

    action_weight: float = tuned(1.0, low=0.1, high=10)
    ctcvr_weight: float = tuned(1.0, low=0.1, high=10)

    def build(self, blueprint: Blueprint) -> None:
        self.towers = blueprint.towers(4, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        return replace(self._with_action(features), macro=None)

    def _with_action(self, features: Features) -> Prediction:
        y1, y2, y3, y4 = self.towers.probabilities(self.backbone(features))
        return Prediction(ctr=y1, macro=y2, cvr=y2.mix(y3, y4))

    def loss(self, batch: Batch) -> Tensor:
        assert batch.micro is not None
        assert batch.macro is not None
        union = replace(batch, macro=torch.maximum(batch.micro, batch.macro))
        prediction = self._with_action(batch.features)
        return (
            losses.ctr_loss(prediction, batch)
            + self.action_weight * losses.path_loss(prediction, union, "macro")
            + self.ctcvr_weight * losses.ctcvr_loss(prediction, batch)
        )
