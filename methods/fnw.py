"""FNW: every click arrives as a negative, and again when it converts."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from benchmark.training.batch import Batch, Probability
from benchmark.training.delays.feedback import DelayedFeedback
from benchmark.training.delays.schedule import Schedule, revising


class FNW(DelayedFeedback):
    r"""Weight what arrives so that negatives which convert later count for nothing.

    Of P(conversion | click) = p, a click brings one negative at once and p positives later: in
    what arrives, a share of :math:`p / (1 + p)` is positive. With label r on arrival, prediction
    :math:`\hat r` and, without gradient, :math:`\bar r = \hat r`, L is the mean over arrivals of

    .. math:: (1 + \bar r) \, (- r \log \hat r - (1 - r) (1 - \bar r) \log (1 - \hat r))

    Were the weights not constant, they could be lowered instead of the errors. The gradient
    vanishes where :math:`\hat r = p`, if nothing drifts.

    Evidence: weights read in the code of ES-DFM's authors, and in secondary sources of the paper.

    Differs from the paper: the stream begins one attribution window after the log and is replayed
    once per epoch; sizes are the benchmark's. A conversion at the time of its click arrives once.
    """

    name = "FNW"
    citation = """
    @inproceedings{ktena2019addressing,
      title     = {Addressing Delayed Feedback for Continuous Training with Neural Networks in {CTR}
                   Prediction},
      author    = {Ktena, Sofia Ira and Tejani, Alykhan and Theis, Lucas and Myana, Pranay Kumar
                   and Dilipkumar, Deepak and Husz{\\'a}r, Ferenc and Yoo, Steven and Shi, Wenzhe},
      booktitle = {RecSys},
      year      = {2019},
      doi       = {10.1145/3298689.3347002},
    }
    """

    def schedule(self) -> Schedule:
        return partial(revising, wait=0.0)

    def weights(self, cvr: Probability, batch: Batch) -> tuple[Tensor, Tensor]:
        total = 1 + cvr.value()
        return total, total * cvr.log_not.exp()
