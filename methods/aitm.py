import torch

from benchmark.method import (
    Batch,
    Blueprint,
    Features,
    Method,
    Prediction,
    Probability,
    Tensor,
    mlp,
    nn,
    tuned,
)


class AITM(Method):
    r"""AITM transfers what the CTR has learned to the CTCVR by attention and calibrates the order.

    With the layers :math:`q_o, q_c` on the encoding, transfer layer :math:`g`, maps
    :math:`Q, K, V` to :math:`d` dimensions, towers :math:`h`, click :math:`o`, conversion
    :math:`r` and the mean cross entropy :math:`e` over all impressions:

    .. math:: z = \sum_{u \in \{q_c, g(q_o)\}} \mathrm{softmax}_u(Q u \cdot K u / \sqrt d) \, V u,
              \quad \hat o = h_o(q_o), \quad \hat c = h_c(z)

    .. math:: L = e(o, \hat o) + w e(or, \hat c) + \alpha \, \mathrm{mean} \max(\hat c - \hat o, 0)

    The last term punishes a CTCVR above the CTR. The method predicts the CTCVR; the CVR is
    :math:`\min(\hat c / \hat o, 1)` and has no loss of its own.

    Evidence: we verified the attention, the calibrator and :math:`\alpha` in the authors' code.

    Differs from the paper: the layer sizes are those of the benchmark, the CVR is taken as a
    quotient, and :math:`w` and :math:`\alpha` are tuned.

    Origin of the defaults: ``ctcvr_weight``, :math:`w`, is 1 and ``calibrator_weight``,
    :math:`\alpha`, is 0.6 in the authors' code.
    """

    name = "AITM"
    cite = "xi2021modeling"
    requires = frozenset({"impression", "click"})

    ctcvr_weight: float = tuned(1.0, low=0.1, high=10)
    calibrator_weight: float = tuned(0.6, low=0.01, high=10)

    def build(self, blueprint: Blueprint) -> None:
        self.layers, width = blueprint.experts(2, self.backbone.width)
        self.transfer = mlp(width, (width,), blueprint.dropout)
        self.attention = nn.Linear(width, 3 * width, bias=False)
        self.ctr_tower = blueprint.towers(1, width)
        self.ctcvr_tower = blueprint.towers(1, width)

    def forward(self, features: Features) -> Prediction:
        ctr, ctcvr = self._steps(features)
        return Prediction(ctr=ctr, cvr=ctcvr.given(ctr))

    def _steps(self, features: Features) -> tuple[Probability, Probability]:
        click, conversion = self.layers(self.backbone(features))
        sources = torch.stack([conversion, self.transfer(click)])
        query, key, value = self.attention(sources).chunk(3, 2)
        weights = ((query * key).sum(2, keepdim=True) / query.shape[2] ** 0.5).softmax(0)
        (ctr,), (ctcvr,) = self.ctr_tower(click), self.ctcvr_tower((weights * value).sum(0))
        return Probability.from_logit(ctr), Probability.from_logit(ctcvr)

    def loss(self, batch: Batch) -> Tensor:
        ctr, ctcvr = self._steps(batch.features)
        ctcvr_loss = ctcvr.cross_entropy(batch.clicked * batch.conversion).mean()
        excess = (ctcvr.value() - ctr.value()).relu().mean()
        click_loss = ctr.cross_entropy(batch.clicked).mean()
        return click_loss + self.ctcvr_weight * ctcvr_loss + self.calibrator_weight * excess
