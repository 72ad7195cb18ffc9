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
from benchmark.training.modules.trees import BoostedTrees


class LightGBMClicks(Method):
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

    learning_rate: float = tuned(0.1, low=0.03, high=0.3)
    weight_decay: float = tuned(0.0, low=0, high=10, log=False)
    num_leaves: int = tuned(31, low=4, high=256)
    min_child_samples: int = tuned(20, low=5, high=100, log=False)
    feature_fraction: float = tuned(1.0, low=0.4, high=1, log=False)
    bagging_fraction: float = tuned(1.0, low=0.4, high=1, log=False)

    def build(self, blueprint: Blueprint) -> None:
        self.trees = BoostedTrees(
            blueprint.schema,
            num_leaves=self.num_leaves,
            min_child_samples=self.min_child_samples,
            feature_fraction=self.feature_fraction,
            bagging_fraction=self.bagging_fraction,
            learning_rate=self.learning_rate,
            lambda_l2=self.weight_decay,
        )

    def forward(self, features: Features) -> Prediction:
        return Prediction(cvr=Probability.from_logit(self.trees(features)))

    def loss(self, batch: Batch) -> Tensor:
        return losses.click_cvr_loss(self(batch.features), batch)

    def fit(self, train: Batch, seed: int) -> int:
        clicked = train.clicked.bool()
        features = Features(train.features.sparse[clicked], train.features.dense[clicked])
        return self.trees.grow(25, features, train.conversion[clicked], seed)
