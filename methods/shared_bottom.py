from benchmark.method import Batch, Blueprint, CtrCvr, Features, Tensor, losses, tuned


class SharedBottom(CtrCvr):
    r"""Shared-Bottom shares the first hidden layer between a CTR and a CVR tower.

    With the encoding :math:`x`, shared layer :math:`f`, tower :math:`h_k` of task :math:`k`, the
    clicked rows :math:`O` of the impressions :math:`D`, click :math:`o`, conversion :math:`r` and
    cross entropy :math:`e`:

    .. math:: z_k = h_k(f(x)), \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    The CVR is trained on clicks alone and is therefore as biased as the naive one, but for what it
    shares with the CTR. There is no CTCVR loss.

    Evidence: we verified the architecture in public code. The paper is not about the CVR.

    Differs from the paper: the bottom is one hidden layer below the benchmark's towers, which is
    the depth of an expert in MMoE. The two tasks and their weight are ours.

    Origin of the defaults: ``cvr_weight`` is ours.
    """

    name = "Shared-Bottom"
    cite = "caruana1997multitask"

    cvr_weight: float = tuned(1.0, low=0.1, high=10)

    def build(self, blueprint: Blueprint) -> None:
        self.bottom, width = blueprint.experts(1, self.backbone.width)
        self.towers = blueprint.towers(2, width)

    def encode(self, features: Features) -> Tensor:
        (shared,) = self.bottom(self.backbone(features))
        return shared

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        click_loss = losses.ctr_loss(prediction, batch)
        return click_loss + self.cvr_weight * losses.click_cvr_loss(prediction, batch)
