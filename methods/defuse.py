from functools import partial

import torch

from benchmark.method import Batch, Probability, Tensor
from benchmark.training.delays.correction import AfterWait
from benchmark.training.delays.schedule import Schedule, revising


class DEFUSE(AfterWait):
    r"""DEFUSE splits what has not converted after a wait into negatives and conversions to come.

    A click arrives after the wait, and again if it converts only later. With :math:`d`
    P(conversion after the wait | click), :math:`n` P(no conversion | none up to the wait), the
    label :math:`r` on arrival, :math:`s = 1` if a click arrives again, else 0, and prediction
    :math:`\hat r`, the loss is the mean over arrivals of

    .. math:: - r \, (1 + (1 - s) d) \log \hat r - (1 - r) \, ((1 - n) \, d \log \hat r
              + n \, (1 + d) \log (1 - \hat r))

    Before, :math:`d` and :math:`n` are fitted by cross entropy to clicks whose attribution window
    has closed, and then frozen. If they are right and nothing drifts, the loss is that of final
    labels, but with features weighted by :math:`1 + d`, as clicks that convert late arrive twice.

    Evidence: a secondary source restates the weights 1 + d, d, 1 + d and 1 of the four kinds of
    arrivals, which we also read in the authors' code, with the fits of :math:`d` and :math:`n`.

    Differs from the paper: the code gives every conversion the sum 2 + d of the weights of prompt
    and of late ones, which is not unbiased; here each has its own. In that code, clicks arrive when
    they are made, with the label that the wait reveals; here they arrive after the wait. The wait
    is a share of the attribution window and tuned. The CVR starts untrained. The stream begins one
    attribution window after the data and is replayed once per epoch. The two-headed Bi-DEFUSE is a
    method of its own here.

    Origin of the defaults: ``wait`` and ``head_epochs`` are those of our ES-DFM; the code waits one
    hour of 30 days, or 0.0014 of the attribution window, and has 5 epochs.
    """

    name = "DEFUSE"
    cite = "chen2022asymptotically"

    def schedule(self) -> Schedule:
        return partial(revising, wait=self.wait)

    def shares(self, cvr: Probability, batch: Batch) -> tuple[Tensor, Tensor]:
        late, never = (head.value() for head in self.heads.eval()(batch.features))
        prompt = torch.where(self.arrives_again(batch), 1, 1 + late)
        positive = torch.where(batch.conversion > 0, prompt, (1 - never) * late)
        return positive, (1 - batch.conversion) * never * (1 + late)
