"""PLE: CTR and CVR on experts of their own and shared ones, extracted level by level."""

from __future__ import annotations

from optuna.distributions import FloatDistribution, IntDistribution
from torch import Tensor, nn

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import click_cvr_loss, ctr_loss
from benchmark.training.method import Method
from benchmark.training.modules.experts import Extraction


class PLE(Method):
    r"""Give each task experts of its own beside shared ones, and stack such levels.

    Paths :math:`x_k`, one per task k and one shared, start as the encoding. Expert :math:`f_i`
    reads its owner's path, and :math:`E_k` are the experts of task k and the shared ones, or all on
    the shared path; a tower per task ends it. With clicked rows O of impressions D:

    .. math:: x_k \leftarrow \sum_{i \in E_k} \mathrm{softmax}(W_k x_k)_i f_i, \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    The CVR is trained on clicks alone, hence as biased as the naive one but for what it shares.
    One level is the paper's CGC.

    Evidence: gates verified in public code, one with 4 own and 4 shared experts; one that we read
    mixes only shared experts on the shared path, by secondary sources the paper mixes all.

    Differs from the paper: an expert is one hidden layer; 2 levels, tasks and weight are ours.
    """

    name = "PLE"
    citation = """
    @inproceedings{tang2020progressive,
      title     = {Progressive Layered Extraction ({PLE}): A Novel Multi-Task Learning ({MTL}) Model
                   for Personalized Recommendations},
      author    = {Tang, Hongyan and Liu, Junning and Zhao, Ming and Gong, Xudong},
      booktitle = {RecSys},
      year      = {2020},
      doi       = {10.1145/3383313.3412236},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "levels": IntDistribution(1, 3),
        "own_experts": IntDistribution(1, 4),
        "shared_experts": IntDistribution(1, 4),
        "cvr_weight": FloatDistribution(0.1, 10, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        levels: int = 2,
        own_experts: int = 4,
        shared_experts: int = 4,
        cvr_weight: float = 1.0,
    ) -> None:
        super().__init__(blueprint)
        counts, width = (own_experts, own_experts, shared_experts), self.backbone.width
        self.levels = nn.Sequential()
        for left in reversed(range(levels)):
            level = Extraction(blueprint, counts, width, paths=3 if left else 2)
            self.levels.append(level)
            width = level.width
        self.towers = blueprint.towers(2, width)
        self.cvr_weight = cvr_weight

    def forward(self, features: Features) -> Prediction:
        paths = self.levels(self.backbone(features).expand(3, -1, -1))
        ctr, cvr = map(Probability.from_logit, self.towers(paths))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return ctr_loss(prediction, batch) + self.cvr_weight * click_cvr_loss(prediction, batch)
