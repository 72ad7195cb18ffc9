from collections.abc import Iterator

from benchmark.method import Batch, Blueprint, Phase, Probability, Tensor, Update, tuned
from benchmark.training.delays.feedback import DelayedFeedback, Heads, matured, mean_over, times
from benchmark.training.delays.schedule import Schedule, at_the_end


class FSIW(DelayedFeedback):
    r"""FSIW weights a click by how likely its final label is the one known when training ends.

    With the time :math:`e` elapsed since the click, :math:`s(e)` P(converted by e | converts),
    :math:`n(e)` P(no conversion | none by e), the label :math:`r` known when training data end and
    prediction :math:`\hat r`, the loss is the mean over all clicks of

    .. math:: - \frac{r}{s(e)} \log \hat r - (1 - r) \, n(e) \log (1 - \hat r)

    Before, :math:`s` and :math:`n` are fitted to clicks whose attribution window has closed, as if
    training had ended one window earlier, and then frozen. If they are right, the loss is unbiased
    for that of final labels.

    Evidence: we read the weights and the fits in the code of ES-DFM's authors and in secondary
    sources.

    Differs from the paper: all clicks are seen at once, as in its batch setting, not in a stream.
    The earlier end is one attribution window before the real one, and the elapsed time counts up to
    one window. Later implementations add :math:`10^{-8}` to the divisor of a weight; ours is the
    formula.

    Origin of the defaults: ``head_epochs`` is ours; the code has 5.
    """

    name = "FSIW"
    cite = "yasui2020feedback"

    head_epochs: int = tuned(2, low=1, high=4, log=False)

    def build(self, blueprint: Blueprint) -> None:
        super().build(blueprint)
        self.heads = Heads(blueprint, 2, timed=True)

    def schedule(self) -> Schedule:
        return at_the_end

    def warm_up(self) -> tuple[Phase, ...]:
        return (Phase(self.head_epochs, self._fit_heads, at_the_end),)

    def _fit_heads(self, batch: Batch) -> Iterator[Update]:
        (elapsed, delay), converted = times(batch), matured(batch) * batch.conversion
        seen, never = self.heads(batch.features, (elapsed - 1).clamp(0, 1))
        by_then = converted * (delay <= elapsed - 1)
        seen_loss = mean_over(converted, seen.cross_entropy(by_then))
        not_by_then = matured(batch) - by_then
        never_loss = mean_over(not_by_then, never.cross_entropy(1 - batch.conversion))
        yield Update(seen_loss + never_loss, self.heads)

    def weights(self, cvr: Probability, batch: Batch) -> tuple[Tensor, Tensor]:
        seen, never = self.heads.eval()(batch.features, times(batch)[0].clamp(0, 1))
        return 1 / seen.value(), never.value()
