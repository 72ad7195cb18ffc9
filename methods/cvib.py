"""CVIB: an information bottleneck that holds the CVR of impressions near that of clicks."""

from __future__ import annotations

import math

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import click_cvr_loss, over_clicks
from benchmark.training.method import Method


class CVIB(Method):
    r"""Add to the loss of clicks a contrast of mean predictions and a penalty on confidence.

    With clicked rows O of a batch D of impressions, conversion r, prediction :math:`\hat r`, cross
    entropy e and :math:`m_S` the mean of :math:`\hat r` over S:

    .. math:: L = \frac{1}{|O|} \sum_O e(r, \hat r) + \alpha \, e(m_O, m_D)
              + \frac{\gamma}{|O|} \sum_O \hat r \log \hat r

    There is no propensity, and no estimate of the loss over impressions: the contrast assumes
    that they convert as often as clicks do, which selection makes wrong. As :math:`e(m, m)` is an
    entropy, it also draws rates below a half towards 0, on clicks too. It predicts no CTR.

    Evidence: loss and values read in public copies of the authors' code.

    Differs from the paper: impressions stand for all user-item pairs; :math:`\alpha` and
    :math:`\gamma` are tuned; a batch without clicks has no loss.
    """

    name = "CVIB"
    citation = """
    @inproceedings{wang2020information,
      title     = {Information Theoretic Counterfactual Learning from Missing-Not-At-Random
                   Feedback},
      author    = {Wang, Zifeng and Chen, Xi and Wen, Rui and Huang, Shao-Lun
                   and Kuruoglu, Ercan and Zheng, Yefeng},
      booktitle = {NeurIPS},
      year      = {2020},
      url       = {https://arxiv.org/abs/2009.02623},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "contrast_weight": FloatDistribution(0.01, 2, log=True),
        "confidence_weight": FloatDistribution(1e-3, 1, log=True),
    }

    def __init__(
        self, blueprint: Blueprint, *, contrast_weight: float = 0.1, confidence_weight: float = 0.01
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(1, self.backbone.width)
        self.contrast_weight = contrast_weight
        self.confidence_weight = confidence_weight

    def forward(self, features: Features) -> Prediction:
        (cvr,) = self.towers(self.backbone(features))
        return Prediction(cvr=Probability.from_logit(cvr))

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        clicked, everywhere = prediction.cvr.value(), mean(prediction.cvr)
        contrast = everywhere.cross_entropy(over_clicks(clicked, batch))
        confidence = over_clicks(clicked * prediction.cvr.log, batch)
        penalty = self.contrast_weight * contrast + self.confidence_weight * confidence
        return click_cvr_loss(prediction, batch) + batch.clicked.amax() * penalty


def mean(probability: Probability) -> Probability:
    """Return the mean over rows, in log space."""
    rows = math.log(len(probability.log))
    return Probability(probability.log.logsumexp(0) - rows, probability.log_not.logsumexp(0) - rows)
