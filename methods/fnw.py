from functools import partial

from benchmark.method import Batch, Probability, Tensor
from benchmark.training.delays.feedback import DelayedFeedback
from benchmark.training.delays.schedule import Schedule, revising


class FNW(DelayedFeedback):
    r"""FNW takes every click for a negative at once and weights it so that conversions undo it.

    A click that converts with probability :math:`p` brings one negative at once and :math:`p`
    positives later, so that a share of :math:`p / (1 + p)` of what arrives is positive. With the
    label :math:`r` on arrival, prediction :math:`\hat r` and :math:`\bar r = \hat r` without
    gradient, the loss is the mean over arrivals of

    .. math:: (1 + \bar r) \, (- r \log \hat r - (1 - r) (1 - \bar r) \log (1 - \hat r))

    The weights are constants, or they could be lowered instead of the errors. The gradient
    vanishes where :math:`\hat r = p`, if nothing drifts.

    Evidence: we read the weights in the code of ES-DFM's authors and in secondary sources.

    Differs from the paper: the stream begins one attribution window after the data and is replayed
    once per epoch. A conversion at the time of its click arrives once. The tower sizes are those
    of the benchmark.
    """

    name = "FNW"
    cite = "ktena2019addressing"

    def schedule(self) -> Schedule:
        return partial(revising, wait=0.0)

    def weights(self, cvr: Probability, batch: Batch) -> tuple[Tensor, Tensor]:
        total = 1 + cvr.value()
        return total, total * cvr.log_not.exp()
