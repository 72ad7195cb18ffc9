from dataclasses import replace

from benchmark.method import Batch, Features, Prediction, Tensor, losses, tuned
from benchmark.training.modules.paths import PathMethod


class HM3R(PathMethod):
    r"""HM3-R is HM3 with its hops reversed: the macro behaviour comes before the micro behaviour.

    With :math:`y_1` P(click), :math:`y_2` P(macro | click), :math:`y_3, y_5` P(micro | macro or
    not), :math:`y_4, y_6` P(conversion | micro or not), the labels :math:`o, a, m, r` of these
    stages and the mean cross entropy :math:`e` over all impressions:

    .. math:: M = y_2 y_3 + (1 - y_2) y_5, \quad \hat r = M y_4 + (1 - M) y_6

    .. math:: L = e(o, y_1) + w_m e(om, y_1 M) + w_a e(oa, y_1 y_2) + w_c e(or, y_1 \hat r)

    It assumes that a conversion depends on the macro behaviour through the micro behaviour only.
    Where a dataset consists of clicks, :math:`y_1 = 1` and its term is dropped.

    Evidence: secondary sources describe it as a baseline of the cited paper that is worse than
    HM3 there. The composition is that of HM3 with the roles swapped.

    Differs from the paper: the weights are tuned, and the tower sizes are those of the benchmark.

    Origin of the defaults: ``micro_weight``, ``macro_weight`` and ``ctcvr_weight`` are 1 as in
    ESM², by the same group. The values of the paper are not known to us.
    """

    name = "HM3-R"
    cite = "wen2021hm3"

    micro_weight: float = tuned(1.0, low=0.1, high=10)
    macro_weight: float = tuned(1.0, low=0.1, high=10)
    ctcvr_weight: float = tuned(1.0, low=0.1, high=10)

    def forward(self, features: Features) -> Prediction:
        hm3 = super().forward(features)
        return replace(hm3, micro=hm3.macro, macro=hm3.micro)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return (
            losses.ctr_loss(prediction, batch)
            + self.micro_weight * losses.path_loss(prediction, batch, "micro")
            + self.macro_weight * losses.path_loss(prediction, batch, "macro")
            + self.ctcvr_weight * losses.ctcvr_loss(prediction, batch)
        )
