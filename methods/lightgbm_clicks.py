from benchmark.method import Batch, Blueprint, Features, Prediction, Probability, Tensor, losses
from benchmark.training.modules.trees import BoostedTrees, TreeMethod, rows_of


class LightGBMClicks(TreeMethod):
    r"""LightGBM (clicks) boosts trees on clicks as if these were a fair sample of impressions.

    With the clicked rows :math:`O`, conversion :math:`r`, trees :math:`f_t` of leaf values
    :math:`v`, and the first and second derivatives :math:`g, h` of the cross entropy after the
    trees before:

    .. math:: \hat r = \sigma(b + \eta \sum_t f_t), \quad
              f_t = \arg\min_f \sum_O (g f + h f^2 / 2) + \lambda \sum v^2 / 2

    ``learning_rate`` is :math:`\eta` and ``weight_decay`` is :math:`\lambda`. An epoch is 25 trees,
    so early stopping chooses their number as it chooses that of epochs. The method has the bias of
    the naive one and predicts no CTR.

    Evidence: the method runs LightGBM itself.

    Differs from the paper: rows are not sampled by gradient. Fields of more than 255 ids are read
    as numbers, as the manual advises. Nothing is drawn at random by default, so all seeds agree.

    Origin of the defaults: ``learning_rate``, ``weight_decay``, ``num_leaves``,
    ``min_child_samples``, ``feature_fraction`` and ``bagging_fraction`` are those of LightGBM. The
    ranges are ours.
    """

    name = "LightGBM (clicks)"
    cite = "ke2017lightgbm"
    requires = frozenset({"click"})

    def build(self, blueprint: Blueprint) -> None:
        self.trees = BoostedTrees(blueprint.schema, **self.growth)

    def forward(self, features: Features) -> Prediction:
        return Prediction(cvr=Probability.from_logit(self.trees(features)))

    def loss(self, batch: Batch) -> Tensor:
        return losses.click_cvr_loss(self(batch.features), batch)

    def fit(self, train: Batch, seed: int) -> int:
        clicked = train.clicked.bool()
        features = rows_of(train.features, clicked)
        return self.trees.grow(25, features, train.conversion[clicked], seed)
