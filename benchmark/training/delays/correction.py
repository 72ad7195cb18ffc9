r"""Learning the CVR from arrivals whose label counts in part as a conversion, in part as none.

The label known on arrival is r, the prediction r̂. Where the label may still change, a fitted
probability splits the arrival: shares (a, b) of it make the loss - a log r̂ - b log(1 - r̂).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from benchmark.training.batch import Batch, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.delays.feedback import DelayedFeedback, Heads, matured, mean_over, times
from benchmark.training.delays.schedule import at_the_end
from benchmark.training.hyperparameters import tuned
from benchmark.training.losses import over_clicks
from benchmark.training.method import Phase, Update


class LabelCorrection(DelayedFeedback):
    """Fit the CVR to shares of each arrival; heads, trained before, tell the shares."""

    head_epochs: int = tuned(2, low=1, high=4, log=False)

    @abstractmethod
    def fit_heads(self, batch: Batch) -> Iterator[Update]:
        """Yield a step of the heads on clicks as known when training data end."""

    @abstractmethod
    def shares(self, cvr: Probability, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return what each arrival counts as a conversion, and as none, (B,) each."""

    def warm_up(self) -> Sequence[Phase]:
        """Fit the heads."""
        return (Phase(self.head_epochs, self.fit_heads, at_the_end),)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean of - a log r̂ - b log(1 - r̂); no share carries a gradient."""
        cvr = self(batch.features).cvr
        with torch.no_grad():
            converted, none = self.shares(cvr, batch)
        return -over_clicks(converted * cvr.log + none * cvr.log_not, batch)


class AfterWait(LabelCorrection):
    """Correct labels after a wait by two heads.

    These are d = P(conversion after the wait | click) and n = P(no conversion | none up to the
    wait), fitted by cross entropy to clicks whose attribution window has closed.
    """

    wait: float = tuned(0.05, low=0.0003, high=0.3)

    def build(self, blueprint: Blueprint) -> None:
        """Make the tower and the heads."""
        super().build(blueprint)
        self.heads = Heads(blueprint, 2)

    def fit_heads(self, batch: Batch) -> Iterator[Update]:
        """Yield a step of the heads."""
        late, never = self.heads(batch.features)
        _, delay = times(batch)
        certain, open_then = matured(batch), (delay > self.wait).to(delay.dtype)
        late_loss = mean_over(certain, late.cross_entropy(open_then * batch.conversion))
        never_loss = mean_over(certain * open_then, never.cross_entropy(1 - batch.conversion))
        yield Update(late_loss + never_loss, self.heads)

    def arrives_again(self, batch: Batch) -> Tensor:
        """Return whether a click arrived before, (B,), bool."""
        elapsed, _ = times(batch)
        return elapsed > self.wait
