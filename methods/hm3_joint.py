from benchmark.method import (
    Batch,
    Blueprint,
    Features,
    Method,
    Prediction,
    Probability,
    Tensor,
    losses,
    tuned,
)


class HM3Joint(Method):
    r"""HM3-Joint trains HM3's graph of behaviours by the likelihood of whole paths.

    With click :math:`o`, micro :math:`m`, macro :math:`a`, conversion :math:`r`, the six
    probabilities :math:`y_k` of HM3, cross entropy :math:`e` and means over all impressions:

    .. math:: L = \mathrm{mean}\, e(o, y_1) + w \, \mathrm{mean}\, o \, (e(m, y_2)
              + m e(a, y_3) + (1 - m) e(a, y_5) + a e(r, y_4) + (1 - a) e(r, y_6))

    At :math:`w = 1` this is the negative log-likelihood of :math:`(o, m, a, r)`. The loss of HM3
    sees only its marginals; here every head is identified. Like the naive CVR, the steps after
    the click are learned from clicks alone, and they carry the same bias. Where a dataset
    consists of clicks, the first term is dropped.

    Evidence: the method is ours, derived from the graph of the cited paper by the chain rule. It
    is not published.

    Differs from the paper: the loss does; the heads and their composition are those of the paper.

    Origin of the defaults: ``post_click_weight`` is 1, the weight of the likelihood.
    """

    name = "HM3-Joint"
    cite = "wen2021hm3"
    requires = frozenset({"click", "micro", "macro"})

    post_click_weight: float = tuned(1.0, low=0.1, high=10)

    def build(self, blueprint: Blueprint) -> None:
        self.towers = blueprint.towers(6, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        return self._compose(self._steps(features))

    def _steps(self, features: Features) -> tuple[Probability, ...]:
        return tuple(self.towers.probabilities(self.backbone(features)))

    def _compose(self, steps: tuple[Probability, ...]) -> Prediction:
        y1, y2, y3, y4, y5, y6 = steps
        macro = y2.mix(y3, y5)
        return Prediction(ctr=y1, micro=y2, macro=macro, cvr=macro.mix(y4, y6))

    def loss(self, batch: Batch) -> Tensor:
        steps = self._steps(batch.features)
        ctr = losses.ctr_loss(self._compose(steps), batch)
        after_click = batch.clicked * _path_errors(steps, batch)
        return ctr + self.post_click_weight * after_click.mean()


def _path_errors(steps: tuple[Probability, ...], batch: Batch) -> Tensor:
    """Return -log P(m, a, r | click) per row, meaningless where the row is not clicked."""
    micro, macro, conversion = batch.micro, batch.macro, batch.conversion
    assert micro is not None
    assert macro is not None
    _, y2, y3, y4, y5, y6 = steps
    to_macro = micro * y3.cross_entropy(macro) + (1 - micro) * y5.cross_entropy(macro)
    after_macro, after_none = y4.cross_entropy(conversion), y6.cross_entropy(conversion)
    to_conversion = macro * after_macro + (1 - macro) * after_none
    return y2.cross_entropy(micro) + to_macro + to_conversion
