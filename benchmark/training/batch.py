"""The funnel impression → click → micro → macro → conversion: batches and predictions of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class Features:
    """Inputs of a batch: integer ``sparse`` (B, fields) and float ``dense`` (B, fields).

    Each categorical field counts its ids from 0, which means "unknown". ``sequences`` holds ids
    (B, sequences, length), the most recent last, with zeros on the left of short ones; it is None
    where the dataset has none.
    """

    sparse: Tensor
    dense: Tensor
    sequences: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """A batch of impressions, or of clicks where the dataset has no impressions.

    Labels are float tensors of shape (B,) holding 0 or 1. ``click`` is None if every row is a
    click; ``micro`` and ``macro`` are None if the dataset lacks them. The labels after the
    click are 0 on unclicked rows, where they are in truth unknown: mask them.

    Only methods with a schedule see times, (B,) in attribution windows: how much has ``elapsed``
    since the click, and the ``delay`` of a conversion that happened by then, else ``elapsed``,
    which bounds it from below. Their labels are those known then.
    """

    features: Features
    click: Tensor | None
    conversion: Tensor
    micro: Tensor | None = None
    macro: Tensor | None = None
    elapsed: Tensor | None = None
    delay: Tensor | None = None

    @property
    def clicked(self) -> Tensor:
        """The click label, all ones where the dataset consists of clicks."""
        return torch.ones_like(self.conversion) if self.click is None else self.click


@dataclass(frozen=True)
class Probability:
    """A probability as ``log`` p and ``log_not`` = log(1 - p), exact where p itself underflows."""

    log: Tensor
    log_not: Tensor

    @classmethod
    def from_logit(cls, logit: Tensor) -> Probability:
        """Return sigmoid(logit)."""
        return cls(logsigmoid(logit), logsigmoid(-logit))

    def __and__(self, given: Probability) -> Probability:
        """Return P(A and B) from this P(A) and the given P(B | A).

        1 - P(A and B) = P(not A) + P(A) P(not B | A): no subtraction, hence no cancellation.
        """
        return Probability(
            self.log + given.log, torch.logaddexp(self.log_not, self.log + given.log_not)
        )

    def given(self, condition: Probability) -> Probability:
        """Return P(B | A) from this P(A and B) and P(A), 1 - 1e-6 where it would be higher.

        Two models may contradict each other, P(A and B) > P(A); what is returned there has no
        gradient.
        """
        log = (self.log - condition.log).clamp_max(-1e-6)
        near_one = torch.log(-torch.expm1(log.clamp_min(-1)))
        return Probability(log, torch.where(log > -1, near_one, torch.log1p(-log.exp())))

    def mix(self, if_true: Probability, if_false: Probability) -> Probability:
        """Return P(B) from this P(A), P(B | A) and P(B | not A)."""
        return Probability(
            torch.logaddexp(self.log + if_true.log, self.log_not + if_false.log),
            torch.logaddexp(self.log + if_true.log_not, self.log_not + if_false.log_not),
        )

    def cross_entropy(self, target: Tensor) -> Tensor:
        """Return -t log p - (1 - t) log(1 - p) per row; the target may be soft."""
        return -(target * self.log + (1 - target) * self.log_not)

    def value(self) -> Tensor:
        """Return p itself."""
        return self.log.exp()

    def detach(self) -> Probability:
        """Return the same probability without gradient."""
        return Probability(self.log.detach(), self.log_not.detach())


@dataclass(frozen=True)
class Prediction:
    """What a method predicts per impression.

    ``ctr`` is P(click | impression), None if the method has no such head; ``cvr`` is
    P(conversion | click, impression), defined on unclicked impressions too; ``micro`` and
    ``macro`` are P(· | click, impression) where the method models them; ``counterfactual_cvr``
    is a second, opposite CVR of rows that were not clicked, and ``imputed_error`` (B,) the CVR
    loss expected of a row were it clicked, where a method has them.
    """

    cvr: Probability
    ctr: Probability | None = None
    micro: Probability | None = None
    macro: Probability | None = None
    counterfactual_cvr: Probability | None = None
    imputed_error: Tensor | None = None
