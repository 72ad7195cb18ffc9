import torch

from benchmark.method import (
    Batch,
    Blueprint,
    CtrCvr,
    Features,
    Prediction,
    Probability,
    Tensor,
    losses,
    nn,
    tuned,
)


class DC2VR(CtrCvr):
    r"""DC2VR is MMoE, but that the CVR is moved away from what the CTR encodes in few directions.

    With the hidden layers :math:`h_o, h_r` of both towers, above experts that each task mixes by a
    gate of its own, :math:`\bar h_o` the first without gradient, matrices :math:`B` and :math:`S`
    of :math:`k` orthonormal columns, last layers :math:`u_o, u_r`, click :math:`o`, conversion
    :math:`r` and cross entropy :math:`e`, with means over impressions and over clicks:

    .. math:: \hat o = u_o(h_o), \quad \hat r = u_r(h_r + (h_r B - \bar h_o S) B^\top), \quad
              L = \mathrm{mean} \, e(o, \hat o) + w \, \mathrm{mean}_o \, e(r, \hat r)

    The difference is meant as an intervention that takes the influence of clicks out of
    conversions. Nothing but the CVR loss teaches :math:`B` and :math:`S`, and this is a mean over
    clicks: where selection biases it, no term corrects that.

    Evidence: we read the network in a public library of recommenders, which names the method and
    states no loss beyond one cross entropy per task.

    Differs from the paper: we found none, and cite the library. Losses and their weight are those
    of our MMoE, as are experts and gates. The library keeps columns orthonormal by Householder
    reflections, here they are what Gram and Schmidt make of a matrix.

    Origin of the defaults: ``rank``, :math:`k`, is that of the library's test, the only one that
    it has. ``experts`` and ``cvr_weight``, :math:`w`, are those of our MMoE, so that both differ
    by the intervention alone.
    """

    name = "DC2VR"
    cite = "alibaba2024torcheasyrec"

    rank: int = tuned(2, low=1, high=16)
    experts: int = tuned(8, low=2, high=8, log=False)
    cvr_weight: float = tuned(1.0, low=0.1, high=10)

    def build(self, blueprint: Blueprint) -> None:
        self.gates = blueprint.gates(2, self.backbone.width, self.experts)
        self.layer, width = blueprint.experts(self.experts, self.backbone.width)
        self.towers = blueprint.towers(2, width)
        directions = torch.randn(2, self.towers.width, min(self.rank, self.towers.width))
        self.directions = nn.Parameter(orthonormal(directions))

    def encode(self, features: Features) -> Tensor:
        encoding = self.backbone(features)
        gates = self.gates(encoding).softmax(2).transpose(1, 2)  # (task, expert, row)
        return (gates.unsqueeze(3) * self.layer(encoding)).sum(1)

    def heads(self, encoding: Tensor) -> Prediction:
        source, base = self.towers.hidden(encoding)
        of_base, of_source = orthonormal(self.directions)
        moved = base + (base @ of_base - source.detach() @ of_source) @ of_base.T
        ctr, cvr = map(Probability.from_logit, self.towers.read(torch.stack([source, moved])))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        click_loss = losses.ctr_loss(prediction, batch)
        return click_loss + self.cvr_weight * losses.click_cvr_loss(prediction, batch)


def orthonormal(matrices: Tensor) -> Tensor:
    """Return matrices (2, width, k) with their columns made orthonormal, one after the other.

    The signs are those of Gram and Schmidt; those of the decomposition itself can jump.
    """
    q, r = torch.linalg.qr(matrices)
    return q * r.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)
