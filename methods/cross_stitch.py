import torch

from benchmark.method import (
    Batch,
    Blueprint,
    Features,
    Method,
    Prediction,
    Probability,
    Tensor,
    losses,
    nn,
    tuned,
)


class CrossStitch(Method):
    r"""Cross-stitch mixes the hidden activations of a CTR and a CVR tower after each layer.

    With the activations :math:`h_k` of task :math:`k` in one layer, the clicked rows :math:`O` of
    the impressions :math:`D`, the cross entropy :math:`e` and one matrix :math:`\alpha` per layer,
    which starts as :math:`\alpha_{kk} = a` and :math:`\alpha_{kl} = 1 - a`:

    .. math:: h_k \leftarrow \sum_l \alpha_{kl} h_l, \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    At :math:`\alpha_{kk} = 1` these are separate towers on the shared embedding. The CVR is trained
    on clicks alone and is therefore as biased as the naive one, but for what the tasks share.

    Evidence: summaries that agree describe the unit. The paper is about images.

    Differs from the paper: there is one unit per layer, not one per channel, and it has the common
    learning rate. The two tasks and their weight are ours.

    Origin of the defaults: ``own_share``, :math:`a`, is 0.9, quoted from memory and not verified.
    ``cvr_weight`` is ours.
    """

    name = "Cross-stitch"
    cite = "misra2016cross"
    requires = frozenset({"impression", "click"})

    own_share: float = tuned(0.9, low=0.5, high=1, log=False)
    cvr_weight: float = tuned(1.0, low=0.1, high=10)

    def build(self, blueprint: Blueprint) -> None:
        self.towers = blueprint.towers(2, self.backbone.width)
        own, other = self.own_share, 1 - self.own_share
        start = torch.tensor([[own, other], [other, own]])
        self.stitches = nn.Parameter(start.repeat(len(blueprint.tower), 1, 1))

    def forward(self, features: Features) -> Prediction:
        hidden, stitches = self.backbone(features), iter(self.stitches)
        for layer in self.towers.layers:
            hidden = layer(hidden)
            if isinstance(layer, nn.ReLU):
                hidden = torch.einsum("kl,lbd->kbd", next(stitches), hidden)
        ctr, cvr = map(Probability.from_logit, hidden.squeeze(2).unbind(0))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        click_loss = losses.ctr_loss(prediction, batch)
        return click_loss + self.cvr_weight * losses.click_cvr_loss(prediction, batch)
