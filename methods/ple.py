import math
from collections.abc import Sequence

import torch

from benchmark.method import Batch, Blueprint, CtrCvr, Features, Tensor, losses, nn, tuned
from benchmark.training.modules.experts import GroupedExperts


class PLE(CtrCvr):
    r"""PLE gives CTR and CVR experts of their own beside shared ones and stacks such levels.

    The paths :math:`x_k`, one per task :math:`k` and one shared, start as the encoding. An expert
    :math:`f_i` reads the path of its owner; :math:`E_k` are the experts of task :math:`k` and the
    shared ones, or all experts on the shared path. A tower per task ends its path. With the clicked
    rows :math:`O` of the impressions :math:`D` and cross entropy :math:`e`:

    .. math:: x_k \leftarrow \sum_{i \in E_k} \mathrm{softmax}(W_k x_k)_i f_i, \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    The CVR is trained on clicks alone and is therefore as biased as the naive one, but for what it
    shares. One level is the CGC of the paper.

    Evidence: we verified the gates in public code. One implementation that we read mixes only
    shared experts on the shared path; according to secondary sources, the paper mixes all.

    Differs from the paper: an expert is one hidden layer, and the two tasks and their weight are
    ours.

    Origin of the defaults: ``own_experts`` and ``shared_experts`` are 4, as in one public
    implementation. ``levels``, 2, and ``cvr_weight`` are ours.
    """

    name = "PLE"
    cite = "tang2020progressive"

    levels: int = tuned(2, low=1, high=3, log=False)
    own_experts: int = tuned(4, low=1, high=4, log=False)
    shared_experts: int = tuned(4, low=1, high=4, log=False)
    cvr_weight: float = tuned(1.0, low=0.1, high=10)

    def build(self, blueprint: Blueprint) -> None:
        counts = (self.own_experts, self.own_experts, self.shared_experts)
        width = self.backbone.width
        self.extractions = nn.Sequential()
        for left in reversed(range(self.levels)):
            level = Extraction(blueprint, counts, width, paths=3 if left else 2)
            self.extractions.append(level)
            width = level.width
        self.towers = blueprint.towers(2, width)

    def encode(self, features: Features) -> Tensor:
        return self.extractions(self.backbone(features).expand(3, -1, -1))

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        click_loss = losses.ctr_loss(prediction, batch)
        return click_loss + self.cvr_weight * losses.click_cvr_loss(prediction, batch)


class Extraction(nn.Module):
    """One level of customised gates: per path, a mixture of its task's experts and the shared.

    Maps (groups, B, inputs) to (paths, B, ``width``), where the paths are the first groups; the
    shared path, where it is one of them, mixes all experts.
    """

    def __init__(
        self, blueprint: Blueprint, counts: Sequence[int], inputs: int, *, paths: int
    ) -> None:
        super().__init__()
        self.experts = GroupedExperts(blueprint, counts, inputs)
        self.gates = blueprint.gates(paths, inputs, sum(counts))
        self.paths, self.width = paths, self.experts.width

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the paths' next representations."""
        hidden = self.experts.foreign[: self.paths].unsqueeze(1)
        logits = self.gates(inputs[: self.paths]).masked_fill(hidden, -math.inf)
        return torch.einsum("pbe,ebd->pbd", logits.softmax(2), self.experts(inputs))
