"""TDR: doubly robust learning whose imputed errors are targeted by a one-parameter fit."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from benchmark.training.batch import Batch, Prediction
from benchmark.training.losses import cvr_errors
from benchmark.training.modules.doubly_robust import DoublyRobust, doubly_robust_risk


class TDR(DoublyRobust):
    r"""Shift imputed errors along :math:`\beta = 1 / p - 1` until clicks agree with them.

    With click o, conversion r, prediction :math:`\hat r`, pseudo-label :math:`\tilde r`, frozen
    propensity p with floor, :math:`u = o / p`, :math:`e = e(r, \hat r)`, :math:`\hat e =
    e(\tilde r, \hat r)` and means over all impressions, the prediction descends

    .. math:: L_r = \mathrm{mean}(\hat e' + u (e - \hat e')), \quad
              \hat e' = \hat e + \varepsilon \beta, \quad
              \varepsilon = \sum o \beta (e - \hat e) / \sum o \beta^2

    and the imputation, in turn, :math:`\mathrm{mean}(u (e - \hat e)^2)`. The fit makes
    :math:`\sum o \beta (e - \hat e') = 0`, hence :math:`L_r = \mathrm{mean}(o e + (1 - o)
    \hat e')`: doubly robust learning with weights of clicks that balance :math:`\beta`.

    Evidence: :math:`\varepsilon` and imputation read in code of the paper's first author.

    Differs from the paper: :math:`\varepsilon` is fitted on each batch, not once at the end; it
    has a gradient in :math:`\hat r`, since as a constant it would change nothing. That code
    squares the errors instead, and its imputation swaps the arguments of :math:`\hat e`. Neural
    networks stand for matrix factorisation.
    """

    name = "TDR"
    citation = """
    @inproceedings{li2023tdr,
      title     = {{TDR-CL}: Targeted Doubly Robust Collaborative Learning for Debiased
                   Recommendations},
      author    = {Li, Haoxuan and Lyu, Yan and Zheng, Chunyuan and Wu, Peng},
      booktitle = {ICLR},
      year      = {2023},
      url       = {https://arxiv.org/abs/2203.10258},
    }
    """

    def targeted_errors(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return ê', (B,); ε is 0 where nothing was clicked."""
        imputed, clicked = self.imputed_errors(prediction, batch), batch.clicked
        everywhere = replace(batch, click=torch.ones_like(clicked))
        beta = self.inverse(prediction, everywhere) - 1
        scale = (clicked * beta.square()).sum().clamp_min(torch.finfo(beta.dtype).tiny)
        epsilon = (clicked * beta * (cvr_errors(prediction, batch) - imputed)).sum() / scale
        return imputed + epsilon * beta

    def risk(self, prediction: Prediction, batch: Batch) -> Tensor:
        targeted = self.targeted_errors(prediction, batch)
        inverse = self.inverse(prediction, batch)
        return doubly_robust_risk(cvr_errors(prediction, batch), targeted, inverse)
