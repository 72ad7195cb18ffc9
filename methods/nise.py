import torch

from benchmark.method import Batch, CtrCvr, Tensor, losses, tuned


class NISE(CtrCvr):
    r"""NISE treats unclicked impressions as unlabelled and labels them by its own prediction.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, cross entropy
    :math:`e` and means over all impressions, the loss is

    .. math:: L_r = \mathrm{mean}(o \, e(r, \hat r) + (1 - o) \, e(\hat r, \hat r)), \quad
              L_o = \mathrm{mean}\, e(o, \hat o), \quad
              L = L_o + \alpha \min(L_o / L_r, \beta) L_r

    The ratio is taken without gradient, which is the paper's only stop-gradient: it sets how fast
    the CVR learns, not what. The pseudo-label is not detached, so :math:`e(\hat r, \hat r)` is an
    entropy with the gradient :math:`\log((1 - \hat r) / \hat r)`, which draws a CVR below one
    half to 0; detached, its gradient would be exactly 0. There is no CTCVR loss. The method
    assumes that conversions of unclicked impressions are well separated by the features.

    Evidence: we read the paper and the authors' published code; both state the above.

    Differs from the paper: plain towers on the shared embedding replace its networks, and
    :math:`\alpha` and :math:`\beta` are tuned.

    Origin of the defaults: ``cvr_weight``, :math:`\alpha`, is 1 and ``largest_ratio``,
    :math:`\beta`, is 50 in the paper.
    """

    name = "NISE"
    cite = "huang2024utilizing"

    cvr_weight: float = tuned(1.0, low=0.1, high=10)
    largest_ratio: float = tuned(50.0, low=1, high=100)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        click_loss = losses.ctr_loss(prediction, batch)
        entropy = prediction.cvr.cross_entropy(prediction.cvr.value())
        errors = losses.cvr_errors(prediction, batch)
        cvr_loss = (batch.clicked * errors + (1 - batch.clicked) * entropy).mean()
        smallest = torch.finfo(cvr_loss.dtype).tiny
        ratio = (click_loss / cvr_loss.clamp_min(smallest)).detach().clamp_max(self.largest_ratio)
        return click_loss + self.cvr_weight * ratio * cvr_loss
