"""DFM: a click without a conversion so far may still convert, the less the longer ago it was."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from benchmark.training.batch import Batch, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.delays.feedback import DelayedFeedback, times
from benchmark.training.delays.schedule import Schedule, at_the_end
from benchmark.training.losses import over_clicks


class DFM(DelayedFeedback):
    r"""Model the delay of a conversion as exponential, jointly with whether there will be one.

    Of each click of the train split, what is known when training data end is the label r, the time
    t to its conversion if r = 1, and that elapsed otherwise. With prediction :math:`\hat r` and
    rate :math:`\lambda` of the features, L is the mean over clicks of the negative log-likelihood

    .. math:: - r \, (\log \hat r + \log \lambda - \lambda t)
              - (1 - r) \log (1 - \hat r + \hat r e^{-\lambda t})

    It knows of no attribution window: a click past its own may still convert, says the model.

    Evidence: loss read in the code of ES-DFM's authors, who compare with it.

    Differs from the paper: towers on the shared embedding instead of linear models;
    :math:`\lambda` is the softplus of its tower, not the exponential.
    """

    name = "DFM"
    citation = """
    @inproceedings{chapelle2014modeling,
      title     = {Modeling Delayed Feedback in Display Advertising},
      author    = {Chapelle, Olivier},
      booktitle = {KDD},
      year      = {2014},
      doi       = {10.1145/2623330.2623634},
    }
    """

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__(blueprint)
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
        return over_clicks(-torch.where(batch.conversion > 0, converted, not_yet), batch)
