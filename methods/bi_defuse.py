from functools import partial

from benchmark.method import Batch, Blueprint, Features, Prediction, Probability, Tensor, tuned
from benchmark.training.delays.feedback import DelayedFeedback, mean_over, times
from benchmark.training.delays.schedule import Schedule, revising


class BiDEFUSE(DelayedFeedback):
    r"""Bi-DEFUSE adds up the probabilities of a conversion before and after a wait.

    A click arrives after the wait, and again if it converts only later. One tower predicts
    :math:`a`, P(conversion up to the wait | click), another :math:`b`, P(conversion after it |
    click). With the label :math:`r` on arrival, :math:`s = 1` if a click arrives again, else 0,
    :math:`\bar b` the prediction :math:`b` without gradient, and means over first arrivals and
    over all, the loss is

    .. math:: L &= \mathrm{mean}_{s = 0} \, e(r, a) + \mathrm{mean} \, (- s \log b - (1 - s)
              (\bar b^2 \log b + (1 - \bar b^2) \log (1 - b))), \\
              \hat r &= a + b

    Labels of :math:`a` are final when they arrive, so that its loss needs no correction. That of
    :math:`b` takes a first arrival for a late conversion with probability :math:`\bar b`, weighted
    :math:`\bar b`, else for none, weighted :math:`1 + \bar b`. Its gradient vanishes where
    :math:`b` is right, if nothing drifts; features then weigh :math:`1 + b`, as clicks that convert
    late arrive twice.

    Evidence: we read the two losses, the stream and the sum of the predictions in the authors'
    code, and the abstract of the paper.

    Differs from the paper: two towers on the shared encoding replace two experts mixed by learned
    weights. In the code, clicks arrive when they are made, with the label that the wait reveals;
    here they wait. Where :math:`b` exceeds :math:`1 - a`, it is cut. The wait is a share of the
    attribution window and tuned. Both towers start untrained. The stream begins one attribution
    window after the data and is replayed once per epoch.

    Origin of the defaults: ``wait`` is that of our ES-DFM; the code waits 15 minutes of 30 days, or
    0.00035 of the attribution window.
    """

    name = "Bi-DEFUSE"
    cite = "chen2022asymptotically"

    wait: float = tuned(0.05, low=0.0003, high=0.3)

    def schedule(self) -> Schedule:
        return partial(revising, wait=self.wait)

    def build(self, blueprint: Blueprint) -> None:
        self.towers = blueprint.towers(2, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        prompt, late = self.parts(features)
        not_prompt = opposite(prompt)
        return Prediction(cvr=opposite(not_prompt & opposite(late.given(not_prompt))))

    def parts(self, features: Features) -> tuple[Probability, ...]:
        """Return a and b, (B,) each."""
        return self.towers.probabilities(self.backbone(features))

    def loss(self, batch: Batch) -> Tensor:
        prompt, late = self.parts(batch.features)
        elapsed, _ = times(batch)
        again = (elapsed > self.wait).to(late.log.dtype)
        first = batch.clicked * (1 - again)
        missed = late.value().detach().square()
        label = again * batch.conversion + (1 - again) * missed
        observed = mean_over(first, prompt.cross_entropy(batch.conversion))
        return observed + mean_over(batch.clicked, late.cross_entropy(label))


def opposite(probability: Probability) -> Probability:
    """Return P(not A) from P(A)."""
    return Probability(probability.log_not, probability.log)
