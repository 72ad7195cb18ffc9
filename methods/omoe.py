import torch

from benchmark.method import Batch, Blueprint, CtrCvr, Features, Tensor, losses, nn, tuned


class OMoE(CtrCvr):
    r"""OMoE mixes experts by one gate for both tasks: it is MMoE without a gate per task.

    With the encoding :math:`x`, experts :math:`f_i`, the gate :math:`W`, tower :math:`h_k` of task
    :math:`k`, the clicked rows :math:`O` of the impressions :math:`D`, click :math:`o`, conversion
    :math:`r` and cross entropy :math:`e`:

    .. math:: z_k = h_k(\sum_i \mathrm{softmax}(W x)_i f_i(x)), \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    The CVR is trained on clicks alone and is therefore as biased as the naive one, but for what it
    shares with the CTR. There is no CTCVR loss.

    Evidence: we verified the architecture in public code. The paper is not about the CVR.

    Differs from the paper: an expert is one hidden layer below the benchmark's towers, which makes
    this method one layer deeper than single-task ones. The two tasks and their weight are ours.

    Origin of the defaults: ``experts`` is 8, as for MMoE. ``cvr_weight`` is ours.
    """

    name = "OMoE"
    cite = "ma2018modeling"

    experts: int = tuned(8, low=2, high=8, log=False)
    cvr_weight: float = tuned(1.0, low=0.1, high=10)

    def build(self, blueprint: Blueprint) -> None:
        self.gate = nn.Linear(self.backbone.width, self.experts)
        self.layer, width = blueprint.experts(self.experts, self.backbone.width)
        self.towers = blueprint.towers(2, width)

    def encode(self, features: Features) -> Tensor:
        encoding = self.backbone(features)
        gate = self.gate(encoding).softmax(1)
        return torch.einsum("be,ebd->bd", gate, self.layer(encoding))

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        click_loss = losses.ctr_loss(prediction, batch)
        return click_loss + self.cvr_weight * losses.click_cvr_loss(prediction, batch)
