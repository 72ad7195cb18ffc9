import torch

from benchmark.method import Batch, CtrCvr, Tensor, losses, tuned

ROUNDS = 50
COLUMNS = 256  # at most, so that no size depends on the data
FAR, NOTHING = 1e30, 1e-30


class IdeFN(CtrCvr):
    r"""IdeFN takes unclicked impressions that lie close to conversions for conversions.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, cross entropy
    :math:`e` and the part :math:`m` of an unclicked impression that a partial optimal transport
    plan of total mass :math:`\kappa` moves to the conversions of the batch, at the squared
    distance of their encodings, the loss is the mean over all impressions of

    .. math:: e(o, \hat o) + \gamma (\alpha \, o \, e(r, \hat r)
              + (1 - \alpha) (1 - o) \, e(m, \hat r))

    The label :math:`m` is without gradient (stop-gradient). It averages to :math:`\kappa` whatever
    the data: the method assumes that this share of unclicked impressions would have converted.

    Evidence: we read the plan, the dummy of cost 0, the loss and its values in the paper.

    Differs from the paper: labels are soft, where the paper labels an impression 1 if one
    conversion receives more of it than the dummy. Sinkhorn's iterations run at a tuned
    temperature, where the paper repeats them around their last plan. Only conversions of the
    batch receive mass, and the values are tuned.

    Origin of the defaults: ``cvr_weight``, :math:`\gamma = 30`, ``click_share``,
    :math:`\alpha = 0.8`, and ``mass``, :math:`\kappa = 0.02`, are those of the paper.
    ``temperature`` is ours.
    """

    name = "IdeFN"
    cite = "zhong2026idefn"

    cvr_weight: float = tuned(30.0, low=1, high=100)
    click_share: float = tuned(0.8, low=0.5, high=0.95, log=False)
    mass: float = tuned(0.02, low=0.001, high=0.2)
    temperature: float = tuned(0.1, low=0.02, high=1)

    def loss(self, batch: Batch) -> Tensor:
        encoding = self.backbone(batch.features)
        prediction = self.heads(encoding)
        unclicked, converted = 1 - batch.clicked, batch.clicked * batch.conversion
        sizes = {"mass": self.mass, "temperature": self.temperature}
        matched = matched_share(encoding.detach(), unclicked, converted, **sizes)
        weights = self.click_share * batch.clicked + (1 - self.click_share) * unclicked
        cvr_loss = (weights * prediction.cvr.cross_entropy(converted + matched)).mean()
        return losses.ctr_loss(prediction, batch) + self.cvr_weight * cvr_loss


def matched_share(
    points: Tensor, rows: Tensor, columns: Tensor, *, mass: float, temperature: float
) -> Tensor:
    """Return which part (B,) of each row is moved to columns, 0 if the row takes no part.

    Both are rows of ``points`` (B, width), of which at most ``COLUMNS`` are columns; the cost is
    their squared distance over its mean. The parts of the rows average to ``mass``, or to 0 if
    there is no column.
    """
    rows, columns = rows.to(points), columns.to(points)
    present, index = columns.topk(min(COLUMNS, len(columns)))
    cost = torch.cdist(points, points[index]).square()
    pairs = (rows.sum() * present.sum()).clamp_min(1)
    cost = cost / (rows @ cost @ present / pairs).clamp_min(NOTHING)
    plan = partial_plan(cost, rows, present, mass=mass, temperature=temperature)
    return plan.sum(1) * rows.sum()


def partial_plan(
    cost: Tensor, rows: Tensor, columns: Tensor, *, mass: float, temperature: float
) -> Tensor:
    """Return the plan (B, K) that moves ``mass`` < 1 of the rows to the columns.

    ``rows`` (B,) and ``columns`` (K,) are 1 for those that take part and 0 for the others. Each
    row that does owns an equal part of a total of 1, each column receives an equal part of
    ``mass``, and the rest goes to a dummy column at no cost (Chapel et al., "Partial Optimal
    Transport with Applications on Positive-Unlabeled Learning", 2020). Sinkhorn's iterations end
    on the rows, so that none gives more than it has; the columns are met up to convergence.
    """
    owned = rows / rows.sum().clamp_min(1)
    received = mass * columns / columns.sum().clamp_min(1)
    received = torch.cat([received, 1 - received.sum().view(1)])
    nearest = (cost + FAR * (1 - rows).unsqueeze(1)).amin(0)  # a plan ignores shifts of a column
    kernel = ((nearest - cost) / temperature).clamp_max(0).exp()
    kernel = torch.cat([kernel, torch.ones_like(kernel[:, :1])], 1)
    pull = received
    for _ in range(ROUNDS):
        push = owned / (kernel @ pull).clamp_min(NOTHING)
        pull = received / (push @ kernel).clamp_min(NOTHING)
    push = owned / (kernel @ pull).clamp_min(NOTHING)
    return push.unsqueeze(1) * kernel[:, :-1] * pull[:-1]
