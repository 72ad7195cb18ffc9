from benchmark.method import Batch, Tensor, losses, tuned
from benchmark.training.modules.paths import PathMethod


class HM3(PathMethod):
    r"""HM3 composes the CVR of six conditional probabilities along a graph of behaviours.

    With :math:`y_1` P(click), :math:`y_2` P(micro | click), :math:`y_3, y_5` P(macro | micro or
    not), :math:`y_4, y_6` P(conversion | macro or not), the labels :math:`o, m, a, r` of these
    stages and the mean cross entropy :math:`e` over all impressions:

    .. math:: A = y_2 y_3 + (1 - y_2) y_5, \quad \hat r = A y_4 + (1 - A) y_6

    .. math:: L = e(o, y_1) + w_m e(om, y_1 y_2) + w_a e(oa, y_1 A) + w_c e(or, y_1 \hat r)

    A conversion is assumed to depend on the micro behaviour through the macro behaviour only. The
    losses identify the marginals, not what a single head means. On datasets of clicks,
    :math:`y_1 = 1` and its term is dropped.

    Evidence: we verified the abstract and the sub-paths and derived the composition from them.

    Differs from the paper: the weights are tuned, and tower sizes are those of the benchmark.

    Origin of the defaults: ``micro_weight``, ``macro_weight`` and ``ctcvr_weight`` are those of
    ESM², by the same group. The values of the paper are not known to us.
    """

    name = "HM3"
    cite = "wen2021hm3"

    micro_weight: float = tuned(1.0, low=0.1, high=10)
    macro_weight: float = tuned(1.0, low=0.1, high=10)
    ctcvr_weight: float = tuned(1.0, low=0.1, high=10)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return (
            losses.ctr_loss(prediction, batch)
            + self.micro_weight * losses.path_loss(prediction, batch, "micro")
            + self.macro_weight * losses.path_loss(prediction, batch, "macro")
            + self.ctcvr_weight * losses.ctcvr_loss(prediction, batch)
        )
