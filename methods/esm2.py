from benchmark.method import Batch, Blueprint, Features, Method, Prediction, Tensor, losses, tuned


class ESM2(Method):
    r"""ESM² composes the CVR of a macro behaviour after the click and its two ways to a conversion.

    With :math:`y_1` P(click), :math:`y_2` P(macro | click), :math:`y_3` P(conversion | macro) and
    :math:`y_4` P(conversion | no macro), labels click :math:`o`, macro :math:`a` and conversion
    :math:`r`, and the mean cross entropy :math:`e` over all impressions:

    .. math:: \hat r = y_2 y_3 + (1 - y_2) y_4, \quad
              L = e(o, y_1) + w_a e(oa, y_1 y_2) + w_c e(or, y_1 \hat r)

    The composition assumes nothing. Where a dataset consists of clicks, :math:`y_1 = 1` and its
    term is dropped.

    Evidence: secondary sources agree on the graph, the composition and the equal weights.

    Differs from the paper: the tower sizes are those of the benchmark, and the weights are tuned.

    Origin of the defaults: ``macro_weight`` and ``ctcvr_weight`` are 1 in the secondary sources.
    """

    name = "ESM²"
    cite = "wen2020entire"
    requires = frozenset({"click", "macro"})

    macro_weight: float = tuned(1.0, low=0.1, high=10)
    ctcvr_weight: float = tuned(1.0, low=0.1, high=10)

    def build(self, blueprint: Blueprint) -> None:
        self.towers = blueprint.towers(4, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        y1, y2, y3, y4 = self.towers.probabilities(self.backbone(features))
        return Prediction(ctr=y1, macro=y2, cvr=y2.mix(y3, y4))

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return (
            losses.ctr_loss(prediction, batch)
            + self.macro_weight * losses.path_loss(prediction, batch, "macro")
            + self.ctcvr_weight * losses.ctcvr_loss(prediction, batch)
        )
