from functools import partial

from benchmark.method import Batch, Features, Prediction, Probability, Tensor, losses
from benchmark.training.delays.feedback import DelayedFeedback
from benchmark.training.delays.schedule import Schedule, revising


class FNC(DelayedFeedback):
    r"""FNC takes every click for a negative at once and calibrates what it learns from that.

    A click that converts with probability :math:`p` brings one negative at once and :math:`p`
    positives later, so that a share of :math:`p / (1 + p)` of what arrives is positive. With the
    label :math:`r` on arrival and a tower :math:`b`, the loss is the mean over arrivals of the
    cross entropy, and the prediction :math:`\hat r` undoes the share:

    .. math:: - r \log b - (1 - r) \log (1 - b), \quad \hat r = b / (1 - b)

    FNW has the same stream and corrects the loss instead. The gradient vanishes where
    :math:`\hat r = p`, if nothing drifts.

    Evidence: we read the loss and the calibration in the code of ES-DFM's authors and in secondary
    sources.

    Differs from the paper: where :math:`b` exceeds one half, :math:`\hat r` is cut at 1. The stream
    begins one attribution window after the data and is replayed once per epoch. A conversion at
    the time of its click arrives once. The tower sizes are those of the benchmark.
    """

    name = "FNC"
    cite = "ktena2019addressing"

    def schedule(self) -> Schedule:
        return partial(revising, wait=0.0)

    def forward(self, features: Features) -> Prediction:
        biased = self.of_arrivals(features)
        return Prediction(cvr=biased.given(Probability(biased.log_not, biased.log)))

    def of_arrivals(self, features: Features) -> Probability:
        """Return b, the share of positives among arrivals, (B,)."""
        (biased,) = self.towers.probabilities(self.backbone(features))
        return biased

    def loss(self, batch: Batch) -> Tensor:
        errors = self.of_arrivals(batch.features).cross_entropy(batch.conversion)
        return losses.over_clicks(errors, batch)
