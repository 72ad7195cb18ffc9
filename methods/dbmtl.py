import torch

from benchmark.method import Batch, Blueprint, CtrCvr, Features, Tensor, losses, mlp, tuned


class DBMTL(CtrCvr):
    r"""DBMTL conditions the hidden layer of the CVR on that of the CTR.

    It factorises :math:`P(o, r | x) = P(o | x) P(r | o, x)` along a Bayesian network of targets.
    With the encoding :math:`x`, a specific layer :math:`s_k` per target, layers :math:`f_k` that
    parameterise the links of the network, towers :math:`h_k`, the clicked rows :math:`O` of the
    impressions :math:`D` and cross entropy :math:`e`:

    .. math:: t_o = f_o(s_o(x)), \quad t_r = f_r([s_r(x), t_o]), \quad z_k = h_k(t_k), \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    The CVR is trained on clicks alone and is therefore as biased as the naive one, but for what it
    shares with the CTR. Its gradient reaches the layers of the CTR through :math:`t_o`.

    Evidence: the chain rule, the layers, the concatenation and the weighted likelihood are from
    the vendor's article and the documentation of its code.

    Differs from the paper: the layer sizes and the towers above the links are those of the
    benchmark, click and conversion are its only targets, and each term is averaged over the rows
    that it is about.

    Origin of the defaults: ``cvr_weight`` is ours.
    """

    name = "DBMTL"
    cite = "wang2019deep"

    cvr_weight: float = tuned(1.0, low=0.1, high=10)

    def build(self, blueprint: Blueprint) -> None:
        self.specific, width = blueprint.experts(2, self.backbone.width)
        self.click_link = mlp(width, (width,), blueprint.dropout)
        self.conversion_link = mlp(2 * width, (width,), blueprint.dropout)
        self.towers = blueprint.towers(2, width)

    def encode(self, features: Features) -> Tensor:
        click, conversion = self.specific(self.backbone(features))
        click = self.click_link(click)
        conversion = self.conversion_link(torch.cat([conversion, click], 1))
        return torch.stack([click, conversion])

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        click_loss = losses.ctr_loss(prediction, batch)
        return click_loss + self.cvr_weight * losses.click_cvr_loss(prediction, batch)
