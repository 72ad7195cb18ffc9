import torch

from benchmark.method import Batch, Probability, Tensor
from benchmark.training.delays.correction import AfterWait
from benchmark.training.delays.schedule import Arrivals, Clicks, Schedule, settling


class DDFM(AfterWait):
    r"""DDFM corrects labels after a wait, and weighs late conversions with negatives that return.

    A click arrives after the wait, and again when it converts later or when its attribution window
    closes without a conversion. With :math:`d` P(conversion after the wait | click), :math:`n`
    P(no conversion | none up to the wait) and prediction :math:`\hat r`, the loss is the mean over
    arrivals of

    .. math:: \begin{cases} - \log \hat r & \text{converted} \\
              - (1 - n) \log \hat r - n \log (1 - \hat r) & \text{first, not converted} \\
              d \, (\log \hat r - \log (1 - \hat r)) & \text{again, not converted} \end{cases}

    Before, :math:`d` and :math:`n` are fitted by cross entropy to clicks whose attribution window
    has closed, and then frozen; where :math:`d` exceeds :math:`\hat r`, it is cut. If they are
    right, nothing is cut and nothing drifts, the mean gradient is that of final labels, but with
    features weighted by :math:`1 + d`: first arrivals alone have the loss of final labels.

    Evidence: we read the stream, the loss and the fits in the authors' code.

    Differs from the paper: the code's loss of negatives that return is the cross entropy against
    :math:`\bar r - d`, with :math:`\bar r = \hat r` without gradient. Its gradient is that of ours,
    as the part against :math:`\bar r` has none. In the code, negatives return one day after the
    click of 30, when some will still convert; the gradient is right where none does, hence here.
    That code does not cut :math:`d` at :math:`\hat r`. The wait is a share of the attribution
    window and tuned. The CVR starts untrained. The stream begins one attribution window after the
    data and is replayed once per epoch.

    Origin of the defaults: ``wait`` and ``head_epochs`` are those of our ES-DFM; the code has 5
    epochs.
    """

    name = "DDFM"
    cite = "dai2023dually"

    def schedule(self) -> Schedule:
        return self.returning

    def returning(self, clicks: Clicks) -> Arrivals:
        """Let all clicks arrive after the wait, and those without a conversion by then again."""
        visits = settling(clicks, self.wait)
        kept = (visits.elapsed <= self.wait) | (clicks.delay[visits.click] > self.wait)
        return Arrivals(visits.click[kept], visits.time[kept], visits.elapsed[kept])

    def shares(self, cvr: Probability, batch: Batch) -> tuple[Tensor, Tensor]:
        late, never = self.heads.eval()(batch.features)
        excess = late.value().minimum(cvr.value())
        again, converted = self.arrives_again(batch), batch.conversion
        positive = torch.where(again, -excess, never.log_not.exp())
        negative = torch.where(again, excess, never.value())
        return converted + (1 - converted) * positive, (1 - converted) * negative
