import torch
from torch.nn.functional import softplus

from benchmark.method import Batch, Blueprint, Probability, Tensor, losses
from benchmark.training.delays.feedback import DelayedFeedback, times
from benchmark.training.delays.schedule import Schedule, at_the_end


class DFM(DelayedFeedback):
    r"""DFM models the delay of a conversion jointly with whether there will be one.

    For each click of the train split, the label :math:`r` known when training data end and the time
    :math:`t` are observed: the delay of the conversion if :math:`r = 1`, else the time elapsed.
    With prediction :math:`\hat r` and a rate :math:`\lambda` of the features, the loss is the mean
    over clicks of the negative log-likelihood

    .. math:: - r \, (\log \hat r + \log \lambda - \lambda t)
              - (1 - r) \log (1 - \hat r + \hat r e^{-\lambda t})

    It assumes that delays are exponential given the features. It knows of no attribution window: in
    the model, a click may convert after its window has closed.

    Evidence: we read the loss in the code of ES-DFM's authors, who compare with it. That code uses
    the elapsed time for conversions too, which is not the likelihood; this file uses the delay.

    Differs from the paper: towers on the shared embedding replace linear models, and
    :math:`\lambda` is the softplus of its tower, not the exponential.
    """

    name = "DFM"
    cite = "chapelle2014modeling"

    def build(self, blueprint: Blueprint) -> None:
        super().build(blueprint)
        self.rate_towers = blueprint.towers(1, self.backbone.width)

    def schedule(self) -> Schedule:
        return at_the_end

    def loss(self, batch: Batch) -> Tensor:
        encoding = self.backbone(batch.features)
        (logit,), (rate,) = self.towers(encoding), self.rate_towers(encoding)
        cvr, rate = Probability.from_logit(logit), softplus(rate)
        _, time = times(batch)
        converted = cvr.log + rate.clamp_min(torch.finfo(rate.dtype).tiny).log() - rate * time
        not_yet = torch.logaddexp(cvr.log_not, cvr.log - rate * time)
        return losses.over_clicks(-torch.where(batch.conversion > 0, converted, not_yet), batch)
