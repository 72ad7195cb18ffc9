from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmark.method import (
    Batch,
    Blueprint,
    Features,
    Method,
    Phase,
    Prediction,
    Probability,
    Tensor,
    Update,
    losses,
    nn,
    tuned,
)

DROPOUT = 0.1  # before each of the two heads


class UKD(Method):
    r"""UKD distils the CVR of a teacher blind to clicks, less so where two heads disagree.

    With click :math:`o`, conversion :math:`r`, the average :math:`\hat r` and the divergence
    :math:`u` of two heads under dropout, teacher :math:`\hat t`, its click discriminator
    :math:`\hat d`, cross entropy :math:`e` and its mean :math:`E` over impressions, clicks
    :math:`O` or other rows :math:`N`:

    .. math:: L_t = E_O(r, \hat t) + w E(o, \hat d), \quad L = E(o, \hat o) + E_O(r, \hat r)
              + \gamma \, \mathrm{mean}_N (u + \exp(-\lambda u) \, e(\hat t, \hat r))

    The gradient of the discriminator is reversed in the features of the teacher, which assumes
    that features that do not tell clicks from the rest predict both equally well. In :math:`L`
    the teacher is frozen, and its label is without gradient (stop-gradient).

    Evidence: a write-up that restates the equations of the paper describes the structure and the
    losses. No code was found.

    Differs from the paper: the two heads are averaged, dropout acts on the encoding, and losses
    are means.

    Origin of the defaults: ``teacher_epochs``, ``adversarial_weight``, ``distillation_weight`` and
    ``uncertainty_scale`` are ours; the values of the paper are not known to us.
    """

    name = "UKD"
    cite = "xu2022ukd"
    requires = frozenset({"impression", "click"})

    teacher_epochs: int = tuned(2, low=1, high=4, log=False)
    adversarial_weight: float = tuned(0.1, low=0.01, high=1)
    distillation_weight: float = tuned(1.0, low=0.1, high=10)
    uncertainty_scale: float = tuned(1.0, low=0.1, high=10)

    def build(self, blueprint: Blueprint) -> None:
        self.towers = TwoHeadCvr(blueprint, self.backbone.width)
        self.teacher = AdversarialTeacher(blueprint, self.adversarial_weight)

    def warm_up(self) -> tuple[Phase, ...]:
        return (Phase(self.teacher_epochs, self.teacher.updates),)

    def forward(self, features: Features) -> Prediction:
        return self.towers(self.backbone(features))[0]

    def loss(self, batch: Batch) -> Tensor:
        prediction, uncertainty = self.towers(self.backbone(batch.features))
        label = self.teacher.eval()(batch.features).cvr.value().detach()
        errors = prediction.cvr.cross_entropy(label)
        weighted = uncertainty_weighted(errors, uncertainty, self.uncertainty_scale)
        unclicked = replace(batch, click=1 - batch.clicked)
        distilled = self.distillation_weight * losses.over_clicks(weighted, unclicked)
        click_loss = losses.ctr_loss(prediction, batch)
        return click_loss + losses.click_cvr_loss(prediction, batch) + distilled


class TwoHeadCvr(nn.Module):
    """Towers of the CTR and, twice, of the CVR, each of the two behind dropout of its own."""

    def __init__(self, blueprint: Blueprint, width: int) -> None:
        super().__init__()
        self.ctr_tower = blueprint.towers(1, width)
        self.cvr_towers = blueprint.towers(2, width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, encoding: Tensor) -> tuple[Prediction, Tensor]:
        """Return the CTR and the average CVR, and per row the divergence of the two CVRs."""
        views = torch.stack([self.dropout(encoding), self.dropout(encoding)])
        logits = (*self.ctr_tower(encoding), *self.cvr_towers(views))
        ctr, first, second = map(Probability.from_logit, logits)
        half = Probability.from_logit(torch.zeros_like(first.log))
        return Prediction(ctr=ctr, cvr=half.mix(first, second)), divergence(first, second)


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
        cvr, click = self.towers.probabilities(torch.cat([hidden, reverse_gradient(hidden)]))
        return Prediction(cvr=cvr, ctr=click)

    def updates(self, batch: Batch) -> Iterator[Update]:
        """Yield one step: the CVR on clicks, the discriminator on all impressions."""
        prediction = self(batch.features)
        adversarial = self.adversarial_weight * losses.ctr_loss(prediction, batch)
        yield Update(losses.click_cvr_loss(prediction, batch) + adversarial, self)


def uncertainty_weighted(errors: Tensor, uncertainty: Tensor, scale: float) -> Tensor:
    """Return exp(-scale · uncertainty) · errors + uncertainty, per row.

    The last term penalises uncertainty: without it, the loss could be lowered by being uncertain
    everywhere.
    """
    return (-scale * uncertainty).exp() * errors + uncertainty


def divergence(first: Probability, second: Probability) -> Tensor:
    """Return KL(first ‖ second) per row of two Bernoulli distributions, at least 0."""
    agree = first.log.exp() * (first.log - second.log)
    return agree + first.log_not.exp() * (first.log_not - second.log_not)


def reverse_gradient(values: Tensor) -> Tensor:
    """Return the same values, through which every gradient flows back with its sign flipped.

    A discriminator that reads them learns to tell the classes, while what made them unlearns it
    (Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", 2015).
    """
    return 2 * values.detach() - values
