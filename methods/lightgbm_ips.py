from benchmark.method import Batch, Blueprint, Tensor, losses, tuned
from benchmark.training.modules.weighted_trees import CrossFitted, PropensityTrees, RiskTrees


class LightGBMIPS(PropensityTrees):
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
    propensity_trees: int = tuned(100, low=25, high=200)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def build(self, blueprint: Blueprint) -> None:
        self.propensity = CrossFitted(blueprint.schema, self.propensity_trees, **self.growth)
        self.trees = RiskTrees(blueprint.schema, **self.growth)

    def loss(self, batch: Batch) -> Tensor:
        return losses.ips_loss(self(batch.features), batch, self.propensity_floor)

    def fit(self, train: Batch, seed: int) -> int:
        _, weights, work = self.weigh(train, seed)
        return work + self.trees.descend(25, train.features, train.conversion, weights, seed)
