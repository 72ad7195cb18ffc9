"""DBMTL: the CVR's hidden layer conditioned on the CTR's, along a Bayesian network of targets."""

from __future__ import annotations

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint, mlp
from benchmark.training.losses import click_cvr_loss, ctr_loss
from benchmark.training.method import Method


class DBMTL(Method):
    r"""Model P(o, r | x) as P(o | x) P(r | o, x), the second reading what represents the first.

    With encoding x, a specific layer :math:`s_k` per target, layers :math:`f_k` that parameterise
    the network's links, tower :math:`h_k`, and clicked rows O of impressions D:

    .. math:: t_o = f_o(s_o(x)), \quad t_r = f_r([s_r(x), t_o]), \quad z_k = h_k(t_k), \quad
              L = \frac{1}{|D|} \sum_D e(o, \hat o) + \frac{w}{|O|} \sum_O e(r, \hat r)

    The CVR is trained on clicks alone, hence as biased as the naive one but for what it shares
    with the CTR. Its gradient reaches the CTR's layers through :math:`t_o`.

    Evidence: chain rule, layers and concatenation from the vendor's article and the documentation
    of its code; the weighted likelihood from the same.

    Differs from the paper: layer sizes and the towers above the links are the benchmark's; only
    click and conversion of its targets; each term is averaged over the rows that it is about.
    """

    name = "DBMTL"
    citation = """
    @misc{wang2019deep,
      title     = {Deep {Bayesian} Multi-Target Learning for Recommender Systems},
      author    = {Wang, Qi and Ji, Zhihui and Liu, Huasheng and Zhao, Binqiang},
      year      = {2019},
      eprint    = {1902.09154},
      archiveprefix = {arXiv},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {"cvr_weight": FloatDistribution(0.1, 10, log=True)}

    def __init__(self, blueprint: Blueprint, *, cvr_weight: float = 1.0) -> None:
        super().__init__(blueprint)
        self.specific, width = blueprint.experts(2, self.backbone.width)
        self.click_link = mlp(width, (width,), blueprint.dropout)
        self.conversion_link = mlp(2 * width, (width,), blueprint.dropout)
        self.towers = blueprint.towers(2, width)
        self.cvr_weight = cvr_weight

    def forward(self, features: Features) -> Prediction:
        click, conversion = self.specific(self.backbone(features))
        click = self.click_link(click)
        conversion = self.conversion_link(torch.cat([conversion, click], 1))
        towers = self.towers(torch.stack([click, conversion]))
        ctr, cvr = map(Probability.from_logit, towers)
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        return ctr_loss(prediction, batch) + self.cvr_weight * click_cvr_loss(prediction, batch)
