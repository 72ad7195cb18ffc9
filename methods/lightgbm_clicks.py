"""LightGBM on clicks: boosted trees, what many would try before a neural network."""

from __future__ import annotations

from optuna.distributions import FloatDistribution, IntDistribution
from torch import Tensor, nn

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import click_cvr_loss
from benchmark.training.method import Method
from benchmark.training.modules.trees import BoostedTrees


class LightGBMClicks(Method):
    r"""Boost trees on clicks as if they were a fair sample of impressions.

    With clicked rows O, conversion r, trees :math:`f_t` of leaf values v, and first and second
    derivatives g, h of the cross entropy after the trees before:

    .. math:: \hat r = \sigma(b + \eta \sum_t f_t), \quad
              f_t = \arg\min_f \sum_O (g f + h f^2 / 2) + \lambda \sum v^2 / 2

    ``learning_rate`` is :math:`\eta`, ``weight_decay`` :math:`\lambda`; an epoch is 25 trees: their
    number is chosen as that of epochs always is. It predicts no CTR.

    Evidence: LightGBM itself, with its defaults; the ranges are ours.

    Differs from the paper: rows are not sampled by gradient; fields of more than 255 ids are read
    as numbers, as the manual advises. Nothing is drawn at random by default: all seeds agree.
    """

    name = "LightGBM (clicks)"
    citation = """
    @inproceedings{ke2017lightgbm,
      title  = {{LightGBM}: A Highly Efficient Gradient Boosting Decision Tree},
      author = {Ke, Guolin and Meng, Qi and Finley, Thomas and Wang, Taifeng and Chen, Wei
                and Ma, Weidong and Ye, Qiwei and Liu, Tie-Yan},
      booktitle = {NIPS},
      year = {2017},
      url = {https://papers.nips.cc/paper/2017/hash/6449f44a102fde848669bdd9eb6b76fa-Abstract.html},
    }
    """
    requires = frozenset({"click"})
    search_space = {
        "learning_rate": FloatDistribution(0.03, 0.3, log=True),
        "weight_decay": FloatDistribution(0, 10),
        "num_leaves": IntDistribution(4, 256, log=True),
        "min_child_samples": IntDistribution(5, 100),
        "feature_fraction": FloatDistribution(0.4, 1),
        "bagging_fraction": FloatDistribution(0.4, 1),
    }

    def __init__(  # noqa: PLR0913
        self,
        blueprint: Blueprint,
        *,
        learning_rate: float = 0.1,
        weight_decay: float = 0.0,
        num_leaves: int = 31,
        min_child_samples: int = 20,
        feature_fraction: float = 1.0,
        bagging_fraction: float = 1.0,
    ) -> None:
        nn.Module.__init__(self)  # no encoder
        tree = {"num_leaves": num_leaves, "min_child_samples": min_child_samples}
        drawn = {"feature_fraction": feature_fraction, "bagging_fraction": bagging_fraction}
        step = {"learning_rate": learning_rate, "lambda_l2": weight_decay}
        self.trees = BoostedTrees(blueprint.schema, **tree, **drawn, **step)

    def forward(self, features: Features) -> Prediction:
        return Prediction(cvr=Probability.from_logit(self.trees(features)))

    def loss(self, batch: Batch) -> Tensor:
        return click_cvr_loss(self(batch.features), batch)

    def fit(self, train: Batch, seed: int) -> int:
        clicked = train.clicked.bool()
        features = Features(train.features.sparse[clicked], train.features.dense[clicked])
        return self.trees.grow(25, features, train.conversion[clicked], seed)
