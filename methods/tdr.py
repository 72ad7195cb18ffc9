from dataclasses import replace

import torch

from benchmark.method import Batch, Prediction, Tensor, losses, tuned
from benchmark.training.modules.doubly_robust import DoublyRobust


class TDR(DoublyRobust):
    r"""TDR shifts imputed errors along :math:`\beta = 1 / p - 1` until clicks agree with them.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, pseudo-label
    :math:`\tilde r`, frozen propensity :math:`p`, :math:`u = o / p`, :math:`e = e(r, \hat r)`,
    :math:`\hat e = e(\tilde r, \hat r)` and means over all impressions, the prediction descends

    .. math:: L_r = \mathrm{mean}(\hat e' + u (e - \hat e')), \quad
              \hat e' = \hat e + \varepsilon \beta, \quad
              \varepsilon = \sum o \beta (e - \hat e) / \sum o \beta^2

    and the imputation, in turn, :math:`\mathrm{mean}(u (e - \hat e)^2)`. The fit of
    :math:`\varepsilon` makes :math:`\sum o \beta (e - \hat e') = 0`, hence
    :math:`L_r = \mathrm{mean}(o e + (1 - o) \hat e')`: the weights of clicks balance :math:`\beta`.

    Evidence: we read :math:`\varepsilon` and the imputation in the first author's later code, of
    which this is TDR-JL: its imputation learns too.

    Differs from the paper: :math:`\varepsilon` is fitted on each batch and has a gradient in
    :math:`\hat r`. In that code it is a constant of one last step, in which all errors are squared;
    before, it plays no part. That code does not weigh :math:`\hat e` of clicks by :math:`1 / p`, so
    that its risk is not doubly robust, and swaps the arguments of :math:`\hat e` in its imputation.
    Neural networks replace matrix factorisation.

    Origin of the defaults: ``propensity_floor`` is 0.1 in that code's runs of TDR-JL on all data
    sets; with a fixed imputation it has 0.15 on Yahoo! R3. ``propensity_epochs`` and ``calibrate``
    are those of our DR-JL.
    """

    name = "TDR"
    cite = "li2023tdr"

    propensity_floor: float = tuned(0.1, low=0.01, high=0.2)

    def targeted_errors(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return ê', (B,); ε is 0 where nothing was clicked."""
        imputed, clicked = self.imputed_errors(prediction, batch), batch.clicked
        everywhere = replace(batch, click=torch.ones_like(clicked))
        beta = self.inverse(prediction, everywhere) - 1
        scale = (clicked * beta.square()).sum()
        scale = scale.masked_fill(scale == 0, 1)
        gaps = losses.cvr_errors(prediction, batch) - imputed
        return imputed + (clicked * beta * gaps).sum() / scale * beta

    def risk(self, prediction: Prediction, batch: Batch) -> Tensor:
        targeted = self.targeted_errors(prediction, batch)
        inverse = self.inverse(prediction, batch)
        return losses.doubly_robust_risk(losses.cvr_errors(prediction, batch), targeted, inverse)
