from benchmark.method import Batch, Blueprint, Features, Method, Prediction, Probability, Tensor


class Division(Method):
    r"""DIVISION is the quotient of a CTCVR and a CTR that are trained apart.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat c` of separate
    networks and the mean cross entropy :math:`e` over all impressions, it uses

    .. math:: L = e(o, \hat o) + e(or, \hat c), \quad \hat r = \min(\hat c / \hat o, 1)

    The quotient is right if both networks are. It multiplies their errors where :math:`\hat o`
    is small, and nothing but the cut keeps it below 1.

    Evidence: secondary sources describe it as the baseline DIVISION of the cited paper.

    Differs from the paper: quotients are cut at :math:`1 - 10^{-6}`, and the tower sizes are
    those of the benchmark.
    """

    name = "DIVISION"
    cite = "ma2018entire"
    requires = frozenset({"impression", "click"})

    def build(self, blueprint: Blueprint) -> None:
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
