"""FSIW: labels as known when training ends, weighted by how likely they are still to change."""

from __future__ import annotations

from collections.abc import Iterator

from optuna.distributions import IntDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.delays.feedback import DelayedFeedback, Heads, matured, mean_over, times
from benchmark.training.delays.schedule import Schedule, at_the_end
from benchmark.training.method import Phase, Update


class FSIW(DelayedFeedback):
    r"""Weight a click by the odds that its final label is the one known so far.

    With time e elapsed since the click, :math:`s(e)` P(converted by e | converts), :math:`n(e)`
    P(no conversion | none by e), label r known when training data end and prediction
    :math:`\hat r`, L is the mean over all clicks of

    .. math:: - \frac{r}{s(e)} \log \hat r - (1 - r) \, n(e) \log (1 - \hat r)

    s and n are fitted before, to clicks whose attribution window has closed, as if training had
    ended one window earlier, and then frozen. If they are right, the loss is unbiased for that of
    final labels.

    Evidence: weights and fits read in the code of ES-DFM's authors, and in secondary sources.

    Differs from the paper: all clicks at once, as in its batch setting, not a stream; that earlier
    end is one attribution window before the real one; elapsed time counts up to one window.
    """

    name = "FSIW"
    citation = """
    @inproceedings{yasui2020feedback,
      title     = {A Feedback Shift Correction in Predicting Conversion Rates under Delayed
                   Feedback},
      author    = {Yasui, Shota and Morishita, Gota and Fujita, Komei and Shibata, Masashi},
      booktitle = {WWW},
      year      = {2020},
      doi       = {10.1145/3366423.3380032},
    }
    """
    search_space = {"head_epochs": IntDistribution(1, 4)}

    def __init__(self, blueprint: Blueprint, *, head_epochs: int = 2) -> None:
        super().__init__(blueprint)
        self.heads = Heads(blueprint, 2, timed=True)
        self.head_epochs = head_epochs

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
