import torch

from benchmark.method import Batch, Blueprint, CtrCvr, Features, Tensor, losses, nn, tuned
from benchmark.training.modules.experts import GroupedExperts


class STEMNet(CtrCvr):
    r"""STEM-Net gives each task embeddings of its own beside shared ones.

    With the encodings :math:`x_k` of task :math:`k` and :math:`x_s` from separate tables, experts
    :math:`f_i` that read their owner's encoding, towers :math:`h_k`, the clicked rows :math:`O` of
    the impressions :math:`D` and cross entropy :math:`e`:

    .. math:: z_k = h_k(\sum_i \mathrm{softmax}(W_k (x_k + x_s))_i f_i^{(k)}), \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    The gate is "all forward, task-specific backward": every task reads all experts, and
    :math:`f_i^{(k)}` is without gradient (stop-gradient) if expert :math:`i` belongs to another
    task, so that no task disturbs the embeddings of another. The CVR is trained on clicks alone.

    Evidence: we verified the gate, the stopped gradients and the numbers of experts in the
    authors' code.

    Differs from the paper: an expert is one hidden layer, a gate is linear, and the two tasks and
    their weight are ours.

    Origin of the defaults: ``own_experts`` and ``shared_experts`` are 1 in the authors' code.
    ``cvr_weight`` is ours.
    """

    name = "STEM-Net"
    cite = "su2024stem"

    own_experts: int = tuned(1, low=1, high=4, log=False)
    shared_experts: int = tuned(1, low=1, high=4, log=False)
    cvr_weight: float = tuned(1.0, low=0.1, high=10)

    def build(self, blueprint: Blueprint) -> None:
        self.own_backbones = nn.ModuleList(blueprint.backbone() for _ in range(2))
        counts = (self.own_experts, self.own_experts, self.shared_experts)
        self.experts = GroupedExperts(blueprint, counts, self.backbone.width)
        self.gates = blueprint.gates(2, self.backbone.width, sum(counts))
        self.towers = blueprint.towers(2, self.experts.width)

    def encode(self, features: Features) -> Tensor:
        encodings = torch.stack([b(features) for b in (*self.own_backbones, self.backbone)])
        outputs = self.experts(encodings)
        weights = self.gates(encodings[:2] + encodings[2]).softmax(2)
        taught = weights.masked_fill(self.experts.foreign[:2].unsqueeze(1), 0)
        mixed = torch.einsum("kbe,ebd->kbd", taught, outputs)
        return mixed + torch.einsum("kbe,ebd->kbd", weights - taught, outputs.detach())

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        click_loss = losses.ctr_loss(prediction, batch)
        return click_loss + self.cvr_weight * losses.click_cvr_loss(prediction, batch)
