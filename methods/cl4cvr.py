import math
from functools import reduce

import torch
from torch.nn.functional import dropout, normalize

from benchmark.method import Batch, Blueprint, CtrCvr, Tensor, losses, tuned

CONTRASTED = 256  # rows of a batch, whose order is random


class CL4CVR(CtrCvr):
    r"""CL4CVR adds to ESMM a contrastive loss on two masked views of an impression.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, the mean cross
    entropy :math:`e` over impressions and the supervised contrastive loss :math:`C` of two views
    of the encoding :math:`x`, which are seen through a random mask :math:`m` of its dimensions and
    through the rest, and projected by :math:`h`, the loss is

    .. math:: L = e(o, \hat o) + e(or, \hat o \hat r) + w \, C(h(m x), h((1 - m) x))

    An impression's doubles, which have the same categorical features, are positives, and all
    conversions are positives of one another. The contrast assumes that impressions which look
    alike convert alike, clicked or not.

    Evidence: we read the abstract and the authors' published code.

    Differs from the paper: doubles count as positives, where the paper leaves them out; the code
    takes for doubles what has a cosine similarity above 0.9. The gradient of the CTCVR reaches
    the CTR, which the code prevents. 256 rows of each batch are contrasted, four times the batch
    of the code.

    Origin of the defaults: ``contrastive_weight``, 0.01, and ``temperature``, 12, are those of
    the authors' code.
    """

    name = "CL4CVR"
    cite = "ouyang2023contrastive"

    contrastive_weight: float = tuned(0.01, low=1e-3, high=1)
    temperature: float = tuned(12.0, low=0.1, high=20)

    def build(self, blueprint: Blueprint) -> None:
        super().build(blueprint)
        self.projection = blueprint.shared_tower(self.backbone.width, self.backbone.width)

    def loss(self, batch: Batch) -> Tensor:
        encoding = self.backbone(batch.features)
        prediction, some = self.heads(encoding), encoding[:CONTRASTED]
        mask = dropout(torch.full_like(some[0], 0.5), 0.5, self.training)  # 0 or 1
        views = self.projection(mask * some), self.projection((1 - mask) * some)
        converted = (batch.clicked * batch.conversion > 0)[:CONTRASTED]
        alike = converted & converted.unsqueeze(1)
        same = same_ids(batch.features.sparse[:CONTRASTED])
        contrastive = contrastive_loss(*views, same, alike, self.temperature)
        entire_space = losses.ctr_loss(prediction, batch) + losses.ctcvr_loss(prediction, batch)
        return entire_space + self.contrastive_weight * contrastive


def same_ids(ids: Tensor) -> Tensor:
    """Return (B, B) whether two rows of ``ids`` (B, fields) agree in every field."""
    agree = (column.unsqueeze(1) == column for column in ids.unbind(1))
    everywhere = torch.ones(len(ids), len(ids), dtype=torch.bool, device=ids.device)
    return reduce(torch.logical_and, agree, everywhere)


def contrastive_loss(
    first: Tensor, second: Tensor, same: Tensor, alike: Tensor, temperature: float
) -> Tensor:
    r"""Return the supervised contrastive loss of two views (B, width), each the anchor once.

    ``same`` (B, B) marks rows that are one impression, at least the diagonal: a row's other view
    and that of its doubles are positives, while its own view takes no part. ``alike`` (B, B) marks
    further positives, of either view. With the cosine similarity s over the temperature, the
    positives P of an anchor i and all A that take part, it is the mean over anchors of

    .. math:: - \frac{1}{|P|} \sum_{p \in P} \log
              \frac{\exp s_{ip}}{\frac{1}{2B} \sum_{a \in A} \exp s_{ia}}

    The average in place of a sum keeps the loss from growing with the batch.
    """
    first, second = normalize(first, dim=1), normalize(second, dim=1)
    one = _one_way(first, second, same, alike, temperature)
    return one + _one_way(second, first, same, alike, temperature)


def _one_way(
    anchor: Tensor, other: Tensor, same: Tensor, alike: Tensor, temperature: float
) -> Tensor:
    within = (anchor @ anchor.T / temperature).masked_fill(same, -math.inf)
    similarity = torch.cat([anchor @ other.T / temperature, within], 1)
    positive = torch.cat([same | alike, alike & ~same], 1)
    everyone = similarity.logsumexp(1, keepdim=True) - math.log(similarity.shape[1])
    share = torch.where(positive, similarity - everyone, 0)
    return -(share.sum(1) / positive.sum(1)).mean()
