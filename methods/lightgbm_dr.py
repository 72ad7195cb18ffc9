import torch

from benchmark.method import Batch, Blueprint, Tensor, losses, tuned
from benchmark.training.modules.weighted_trees import CrossFitted, PropensityTrees, RiskTrees


class LightGBMDR(PropensityTrees):
    r"""LightGBM-DR boosts trees on all impressions by the doubly robust risk.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, cross entropy :math:`e`,
    propensity :math:`p` with a floor, :math:`u = o / p` and imputed label :math:`\tilde r`, each
    tree is a Newton step down

    .. math:: L = \mathrm{mean}(e(\tilde r, \hat r) + u (e(r, \hat r) - e(\tilde r, \hat r)))
              = \mathrm{mean}\, e(\tilde r + u (r - \tilde r), \hat r)

    The imputation is LightGBM-IPS. Propensity and imputation are each the mean of two models of
    trees on one half of the impressions; a row takes those that have not seen it. Labels lie
    outside [0, 1] where :math:`u > 1`, which leaves the risk without a minimum, so no leaf exceeds
    ``largest_leaf``. An epoch is 25 trees. The loss is unbiased for the CVR loss over all
    impressions if the propensities or the imputed labels are right.

    Evidence: the method is ours: the doubly robust risk, which is public, on trees that LightGBM
    grows. It is not published.

    Differs from the paper: the cited paper is that of LightGBM. Rows are not sampled by gradient,
    and fields of more than 255 ids are read as numbers.

    Origin of the defaults: ``learning_rate``, ``weight_decay``, ``num_leaves``,
    ``min_child_samples``, ``feature_fraction`` and ``bagging_fraction`` are those of LightGBM, as
    are the 100 trees of a ``nuisance_trees``. ``propensity_floor`` is that of our DR-JL.
    ``largest_leaf`` is ours.
    """

    name = "LightGBM-DR"
    cite = "ke2017lightgbm"
    nuisance_trees: int = tuned(100, low=25, high=200)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)
    largest_leaf: float = tuned(1.0, low=0.3, high=3)

    def build(self, blueprint: Blueprint) -> None:
        schema, growth = blueprint.schema, self.growth
        self.propensity = CrossFitted(schema, self.nuisance_trees, **growth)
        self.imputation = CrossFitted(schema, self.nuisance_trees, **growth)
        self.trees = RiskTrees(schema, max_delta_step=self.largest_leaf, **growth)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        inverse = losses.click_weights(prediction, batch, self.propensity_floor)
        imputed = self.imputation(batch.features).sigmoid()
        return prediction.cvr.cross_entropy(_target(batch.conversion, imputed, inverse)).mean()

    def fit(self, train: Batch, seed: int) -> int:
        features = train.features
        inverse, weights, first = self.weigh(train, seed)
        imputed, second = self.imputation.fit(features, train.conversion, weights, seed)
        target, everywhere = _target(train.conversion, imputed, inverse), torch.ones_like(inverse)
        return first + second + self.trees.descend(25, features, target, everywhere, seed)


def _target(conversion: Tensor, imputed: Tensor, inverse: Tensor) -> Tensor:
    return imputed + inverse * (conversion - imputed)
