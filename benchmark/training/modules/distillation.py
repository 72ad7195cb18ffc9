"""What a student learns from a teacher, and what a teacher is kept from learning."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import click_cvr_loss, ctr_loss
from benchmark.training.method import Update


def reverse_gradient(values: Tensor) -> Tensor:
    """Return the same values, through which every gradient flows back with its sign flipped.

    A discriminator that reads them learns to tell the classes, while what made them unlearns it
    (Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", 2015).
    """
    return 2 * values.detach() - values


def divergence(first: Probability, second: Probability) -> Tensor:
    """Return KL(first ‖ second) per row of two Bernoulli distributions, at least 0."""
    agree = first.log.exp() * (first.log - second.log)
    return agree + first.log_not.exp() * (first.log_not - second.log_not)


class InformationTransfer(nn.Module):
    """Draw a student's features to a teacher's, which are constants.

    The loss is the mean of (log σ² + (teacher - A student)² / σ²) / 2 over rows and features,
    with a learned affine map A and one learned variance per feature: a Gaussian bound, up to
    constants, on the information that the two share (Ahn et al., "Variational Information
    Distillation for Knowledge Transfer", 2019). It may be negative.
    """

    def __init__(self, student: int, teacher: int) -> None:
        super().__init__()
        self.map = nn.Linear(student, teacher)
        self.spread = nn.Parameter(torch.full((teacher,), 5.0))

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of student features (B, student) and teacher's (B, teacher)."""
        variance = softplus(self.spread) + 1e-3
        gap = (teacher.detach() - self.map(student)).square()
        return (variance.log() + gap / variance).mean() / 2


class ConditionedTeacher(nn.Module):
    """A tower on the outer product of an encoding and an embedded probability."""

    def __init__(self, blueprint: Blueprint, width: int, embedding_size: int) -> None:
        super().__init__()
        self.embed = nn.Linear(1, embedding_size)
        self.tower = blueprint.towers(1, width * embedding_size)
        self.width = self.tower.width

    def forward(self, encoding: Tensor, condition: Probability) -> tuple[Probability, Tensor]:
        """Return the probability it predicts and its last hidden features (B, ``width``).

        The condition is a constant: the teacher's loss does not move it.
        """
        embedded = self.embed(condition.value().detach().unsqueeze(1))
        hidden = self.tower.hidden((encoding.unsqueeze(2) * embedded.unsqueeze(1)).flatten(1))
        return Probability.from_logit(*self.tower.read(hidden)), hidden[0]


class AdversarialTeacher(nn.Module):
    """A CVR whose features unlearn what tells clicks from the rest.

    An encoder of its own and one layer above it make the features. Of two towers on them, one
    predicts the CVR and the other, behind a reversed gradient, discriminates clicks.
    """

    def __init__(self, blueprint: Blueprint, adversarial_weight: float) -> None:
        super().__init__()
        self.backbone = blueprint.backbone()
        self.layer, width = blueprint.experts(1, self.backbone.width)
        self.towers = blueprint.towers(2, width)
        self.adversarial_weight = adversarial_weight

    def forward(self, features: Features) -> Prediction:
        """Return the CVR and, as the CTR, what the discriminator makes of the features."""
        hidden = self.layer(self.backbone(features))
        cvr, click = self.towers(torch.cat([hidden, reverse_gradient(hidden)]))
        return Prediction(cvr=Probability.from_logit(cvr), ctr=Probability.from_logit(click))

    def updates(self, batch: Batch) -> Iterator[Update]:
        """Yield one step: the CVR on clicks, the discriminator on all impressions."""
        prediction = self(batch.features)
        adversarial = self.adversarial_weight * ctr_loss(prediction, batch)
        yield Update(click_cvr_loss(prediction, batch) + adversarial, self)


class TwoHeadCvr(nn.Module):
    """Towers of the CTR and, twice, of the CVR, each of the two behind dropout of its own."""

    def __init__(self, blueprint: Blueprint, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.ctr_tower = blueprint.towers(1, width)
        self.cvr_towers = blueprint.towers(2, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, encoding: Tensor) -> tuple[Prediction, Tensor]:
        """Return the CTR and the average CVR, and per row the divergence of the two CVRs."""
        views = torch.stack([self.dropout(encoding), self.dropout(encoding)])
        logits = (*self.ctr_tower(encoding), *self.cvr_towers(views))
        ctr, first, second = map(Probability.from_logit, logits)
        half = Probability.from_logit(torch.zeros_like(first.log))
        return Prediction(ctr=ctr, cvr=half.mix(first, second)), divergence(first, second)


def uncertainty_weighted(errors: Tensor, uncertainty: Tensor, scale: float) -> Tensor:
    """Return exp(-scale · uncertainty) · errors + uncertainty, per row.

    The last term penalises uncertainty: without it, the loss could be lowered by being uncertain
    everywhere.
    """
    return (-scale * uncertainty).exp() * errors + uncertainty
