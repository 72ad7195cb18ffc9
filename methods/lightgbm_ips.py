import torch

from benchmark.method import (
    Batch,
    Blueprint,
    Features,
    Method,
    Prediction,
    Probability,
    Tensor,
    losses,
    tuned,
)
from benchmark.training.modules.weighted_trees import CrossFitted, RiskTrees


class LightGBMIPS(Method):
    r"""LightGBM-IPS boosts trees on clicks that weigh the inverse of their propensity.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, cross entropy :math:`e`
    and propensity :math:`p` with a floor, each tree is a Newton step down

    .. math:: L = \sum u \, e(r, \hat r) / \mathrm{mean}_{o = 1} u, \quad u = o / p

    The propensity is the mean of two models, each of trees on one half of the impressions; the
    weight of a row is that of the model that has not seen it. ``learning_rate`` is the step and
    ``weight_decay`` the penalty on squared leaves. An epoch is 25 trees. The loss is unbiased for
    the CVR loss over all impressions, up to a factor, if :math:`p` is the true propensity.

    Evidence: the method is ours: the weights of the inverse propensity score, which are public, on
    trees that LightGBM grows. It is not published.

    Differs from the paper: the cited paper is that of LightGBM. Rows are not sampled by gradient,
    and fields of more than 255 ids are read as numbers.

    Origin of the defaults: ``learning_rate``, ``weight_decay``, ``num_leaves``,
    ``min_child_samples``, ``feature_fraction`` and ``bagging_fraction`` are those of LightGBM, as
    are the 100 ``propensity_trees``. ``propensity_floor`` is that of our DR-JL.
    """

    name = "LightGBM-IPS"
    cite = "ke2017lightgbm"
    requires = frozenset({"impression", "click"})

    learning_rate: float = tuned(0.1, low=0.03, high=0.3)
    weight_decay: float = tuned(0.0, low=0, high=10, log=False)
    num_leaves: int = tuned(31, low=4, high=256)
    min_child_samples: int = tuned(20, low=5, high=100, log=False)
    feature_fraction: float = tuned(1.0, low=0.4, high=1, log=False)
    bagging_fraction: float = tuned(1.0, low=0.4, high=1, log=False)
    propensity_trees: int = tuned(100, low=25, high=200)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def build(self, blueprint: Blueprint) -> None:
        parameters = {
            "num_leaves": self.num_leaves,
            "min_child_samples": self.min_child_samples,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "learning_rate": self.learning_rate,
            "lambda_l2": self.weight_decay,
        }
        self.propensity = CrossFitted(blueprint.schema, self.propensity_trees, **parameters)
        self.trees = RiskTrees(blueprint.schema, **parameters)

    def forward(self, features: Features) -> Prediction:
        ctr, cvr = self.propensity(features), self.trees(features)
        return Prediction(cvr=Probability.from_logit(cvr), ctr=Probability.from_logit(ctr))

    def loss(self, batch: Batch) -> Tensor:
        return losses.ips_loss(self(batch.features), batch, self.propensity_floor)

    def fit(self, train: Batch, seed: int) -> int:
        clicked, features = train.clicked, train.features
        propensity, work = self.propensity.fit(features, clicked, torch.ones_like(clicked), seed)
        inverse = clicked / propensity.clamp_min(self.propensity_floor)
        weights = losses.self_normalised(inverse) * clicked.sum()
        return work + self.trees.descend(25, features, train.conversion, weights, seed)
