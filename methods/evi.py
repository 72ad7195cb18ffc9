import torch
from torch.nn.functional import softplus

from benchmark.method import (
    Batch,
    Blueprint,
    CtrCvr,
    Prediction,
    Probability,
    Tensor,
    losses,
    nn,
    tuned,
)

DISTILLED_LAYERS = 2


class EVI(CtrCvr):
    r"""EVI distils a teacher that sees the predicted CTR into the CVR of unclicked impressions.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, a teacher
    :math:`\hat t` of the features and :math:`\hat o`, :math:`u = o / \max(\hat o, \tau)`,
    :math:`v = (1 - o) / \max(1 - \hat o, \tau)`, cross entropy :math:`e` and the sum :math:`I`
    of the information losses of the last two hidden layers, the loss is the mean over all
    impressions of

    .. math:: e(o, \hat o) + w_c \, e(or, \hat o \hat r) + e(or, \hat t)
              + w (u e(r, \hat r) + v e(\hat t, \hat r)) + w_i I

    The weights and what the teacher gives are without gradient. The teacher learns
    P(click and conversion), which is too low a label for the CVR.

    Evidence: we read the authors' published code.

    Differs from the paper: towers replace its mixture of experts. Unlike in the code, the
    variances of the information loss learn, and the teacher learns nothing from it.

    Origin of the defaults: all are those of the authors' code as it runs, relative to the weight
    of its CTR loss: ``cvr_weight``, :math:`w = 1`, ``ctcvr_weight``, :math:`w_c = 0.5`,
    ``information_weight``, :math:`w_i = 4`, two distilled layers, and ``propensity_floor``,
    :math:`\tau = 0.001`. Its configuration states a CVR weight of 2.5 times that of the CTR,
    which the code never reads.
    """

    name = "EVI"
    cite = "fei2025entire"

    cvr_weight: float = tuned(1.0, low=0.1, high=10)
    ctcvr_weight: float = tuned(0.5, low=0.1, high=10)
    information_weight: float = tuned(4.0, low=0.01, high=10)
    propensity_floor: float = tuned(1e-3, low=1e-3, high=0.2)

    def build(self, blueprint: Blueprint) -> None:
        super().build(blueprint)
        self.teacher = ConditionedTeacher(blueprint, self.backbone.width, embedding_size=5)
        widths = reversed(blueprint.tower[-DISTILLED_LAYERS:])  # the last layer first
        self.transfers = nn.ModuleList(InformationTransfer(width, width) for width in widths)

    def loss(self, batch: Batch) -> Tensor:
        student = layer_outputs(self.towers.layers, encoding := self.backbone(batch.features))
        ctr, cvr = map(Probability.from_logit, self.towers.read(student[-1]))
        prediction, floor = Prediction(ctr=ctr, cvr=cvr), self.propensity_floor
        teacher, taught = self.teacher(encoding, ctr)
        distilled = unclicked_loss(prediction, batch, teacher.value(), floor)
        cvr_loss = self.cvr_weight * (losses.ips_loss(prediction, batch, floor) + distilled)
        teacher_loss = teacher.cross_entropy(batch.clicked * batch.conversion).mean()
        ctcvr_loss = self.ctcvr_weight * losses.ctcvr_loss(prediction, batch)
        entire_space = losses.ctr_loss(prediction, batch) + ctcvr_loss
        information = self.information_weight * self.information(student, taught)
        return entire_space + teacher_loss + cvr_loss + information

    def information(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor | int:
        """Return the sum over distilled layers, given what all layers of both return."""
        last_first = zip(self.transfers, reversed(student), reversed(teacher), strict=False)
        return sum(transfer(hidden[1], taught[0]) for transfer, hidden, taught in last_first)


def unclicked_loss(prediction: Prediction, batch: Batch, label: Tensor, floor: float) -> Tensor:
    """Return the mean of (1 - o) · e(label, r̂) / (1 - ô) over impressions.

    The soft label (B,) is a constant: its model learns nothing from being believed.
    """
    errors = prediction.cvr.cross_entropy(label.detach())
    return (losses.no_click_weights(prediction, batch, floor) * errors).mean()


def layer_outputs(tower: nn.Sequential, encoding: Tensor) -> list[Tensor]:
    """Return the encoding (B, width) and what each hidden layer of towers makes of it.

    Those are (towers, B, size of the layer) each, the last layer's last.
    """
    outputs = [encoding]
    for step in list(tower)[:-1]:
        encoding = step(encoding)
        if isinstance(step, nn.Dropout):  # with which a hidden layer ends
            outputs.append(encoding)
    return outputs


class ConditionedTeacher(nn.Module):
    """A tower on the outer product of an encoding and an embedded probability."""

    def __init__(self, blueprint: Blueprint, width: int, embedding_size: int) -> None:
        super().__init__()
        self.embed = nn.Linear(1, embedding_size)
        self.tower = blueprint.towers(1, width * embedding_size)

    def forward(self, encoding: Tensor, condition: Probability) -> tuple[Probability, list[Tensor]]:
        """Return the probability it predicts and what its layers return, (1, B, width) each.

        The condition is a constant: the teacher's loss does not move it.
        """
        embedded = self.embed(condition.value().detach().unsqueeze(1))
        product = (encoding.unsqueeze(2) * embedded.unsqueeze(1)).flatten(1)
        layers = layer_outputs(self.tower.layers, product)
        return Probability.from_logit(*self.tower.read(layers[-1])), layers


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
