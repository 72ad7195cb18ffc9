from collections.abc import Iterator

import torch

from benchmark.method import Batch, Blueprint, Phase, Probability, Tensor, Update, losses, tuned
from benchmark.training.delays.feedback import DelayedFeedback, Heads, matured, mean_over, times
from benchmark.training.delays.schedule import Arrivals, Clicks, Schedule, at_the_end, waiting

REVEALS = (1 / 7200, 1 / 2880, 1 / 720, 1 / 30, 7 / 30, 1.0)  # of an attribution window


class GDFM(DelayedFeedback):
    r"""GDFM learns from what is known of a click at several times, and trusts what tells most.

    A click arrives at each time :math:`t_j`, when :math:`d = 1` if it has converted, else 0. With
    :math:`F_j` P(converted by :math:`t_j` | click that converts), the prediction :math:`\hat r`,
    cross entropy :math:`e` and the entropy :math:`H_j` of the final label given :math:`d`, the loss
    is the mean over arrivals of

    .. math:: w_j \, e(d, \hat r F_j), \quad
              w_j \propto \exp(- \alpha H_j / \max H) \exp(- \beta t_j / \max t)

    with weights of mean 1 over the times. Before, :math:`F_j` is fitted by cross entropy to clicks
    that converted and whose attribution window has closed, and then frozen, hence without
    gradient; of all clicks whose window has closed, :math:`H_j` is counted. If :math:`F_j` is right
    and nothing drifts, the gradient vanishes where :math:`\hat r` is right.

    Evidence: we read the likelihood, the weights, the times and the fits in the authors' code, and
    the abstract of the paper.

    Differs from the paper: times of behaviours before the conversion are not logged, so that the
    conversion alone is revealed, as in the code for Criteo's log. Clicks that do not convert never
    show a conversion, where the code learns that; nothing is revealed at the time of the click. No
    term of weight 0.01 pulls towards a model of an earlier month. The CVR starts untrained. The
    stream begins one attribution window after the data and is replayed once per epoch.

    Origin of the defaults: ``entropy_weight``, :math:`\alpha = 2`, and ``time_weight``,
    :math:`\beta = 1`, are the code's, as are the times: 6, 15 and 60 minutes, 1, 7 and 30 days of a
    window of 30 days. ``head_epochs`` is that of our ES-DFM.
    """

    name = "GDFM"
    cite = "yang2022generalized"

    reveals: Tensor
    counts: Tensor  # clicks by time, what is revealed and the final label, (times, 2, 2)

    entropy_weight: float = tuned(2.0, low=0.1, high=10)
    time_weight: float = tuned(1.0, low=0.1, high=10)
    head_epochs: int = tuned(2, low=1, high=4, log=False)

    def build(self, blueprint: Blueprint) -> None:
        super().build(blueprint)
        self.heads = Heads(blueprint, len(REVEALS) - 1)
        self.register_buffer("reveals", torch.tensor(REVEALS))
        self.register_buffer("counts", torch.zeros(len(REVEALS), 2, 2))

    def schedule(self) -> Schedule:
        return revealing

    def warm_up(self) -> tuple[Phase, ...]:
        return (Phase(self.head_epochs, self.fit_heads, at_the_end),)

    def fit_heads(self, batch: Batch) -> Iterator[Update]:
        """Count what is revealed of each final label, and yield a step of the heads."""
        heads, (_, delay) = self.heads(batch.features), times(batch)
        certain, label = matured(batch), batch.conversion
        shown = label * (delay <= self.reveals.unsqueeze(1))
        cells = torch.stack([1 - shown, shown], 1).unsqueeze(2) * torch.stack([1 - label, label])
        self.counts += (certain * cells).sum(3).to(self.counts.dtype)
        fits = (h.cross_entropy(s) for h, s in zip(heads, shown[:-1], strict=True))
        yield Update(mean_over(certain * label, sum(fits, torch.zeros_like(delay))), self.heads)

    def weights_of_times(self) -> Tensor:
        """Return w, (times,)."""
        joint = self.counts / self.counts.sum((1, 2), keepdim=True).clamp_min(1)
        known = joint.sum(2)
        entropy = torch.xlogy(known, known).sum(1) - torch.xlogy(joint, joint).sum((1, 2))
        relative = entropy / entropy.max().clamp_min(torch.finfo(entropy.dtype).tiny)
        elapsed = self.reveals / self.reveals.max()
        weights = (-self.entropy_weight * relative - self.time_weight * elapsed).exp()
        return weights / weights.mean()

    def loss(self, batch: Batch) -> Tensor:
        elapsed, _ = times(batch)
        time = (elapsed.unsqueeze(1) - self.reveals).abs().argmin(1)
        with torch.no_grad():
            heads = self.heads.eval()(batch.features)
            log = torch.stack([*(h.log for h in heads), torch.zeros_like(elapsed)])
            log_not = torch.stack(
                [*(h.log_not for h in heads), torch.full_like(elapsed, -torch.inf)]
            )
        rows = torch.arange(len(time), device=time.device)
        shown = self(batch.features).cvr & Probability(log[time, rows], log_not[time, rows])
        errors = self.weights_of_times()[time] * shown.cross_entropy(batch.conversion)
        return losses.over_clicks(errors, batch)


def revealing(clicks: Clicks) -> Arrivals:
    """Let every click arrive at each of the times."""
    visits = [vars(waiting(clicks, time)) for time in REVEALS]
    return Arrivals(**{key: torch.cat([visit[key] for visit in visits]) for key in visits[0]})
