from benchmark.method import Batch, Tensor, losses, tuned
from benchmark.training.modules.paths import Path, PathMethod, compose


class HM3Joint(PathMethod):
    r"""HM3-Joint trains HM3's graph of behaviours by the likelihood of whole paths.

    With click :math:`o`, micro :math:`m`, macro :math:`a`, conversion :math:`r`, the six
    probabilities :math:`y_k` of HM3, cross entropy :math:`e` and means over all impressions:

    .. math:: L = \mathrm{mean}\, e(o, y_1) + w \, \mathrm{mean}\, o \, (e(m, y_2)
              + m e(a, y_3) + (1 - m) e(a, y_5) + a e(r, y_4) + (1 - a) e(r, y_6))

    At :math:`w = 1` this is the negative log-likelihood of :math:`(o, m, a, r)`. The loss of HM3
    sees only its marginals; here every head is identified. Like the naive CVR, the steps after
    the click are learned from clicks alone, and they carry the same bias. Where a dataset
    consists of clicks, the first term is dropped.

    Evidence: the method is ours, derived from the graph of the cited paper by the chain rule. It
    is not published.

    Differs from the paper: the loss does; the heads and their composition are those of the paper.

    Origin of the defaults: ``post_click_weight`` is 1, the weight of the likelihood.
    """

    name = "HM3-Joint"
    cite = "wen2021hm3"

    post_click_weight: float = tuned(1.0, low=0.1, high=10)

    def loss(self, batch: Batch) -> Tensor:
        steps = self.steps(batch.features)
        click_loss = losses.ctr_loss(compose(steps), batch)
        after_click = batch.clicked * Path.observed(batch).errors(steps[1:])
        return click_loss + self.post_click_weight * after_click.mean()
