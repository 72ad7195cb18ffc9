"""IdeFN: unclicked impressions that lie close to conversions are taken for conversions."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from torch import Tensor

from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.losses import ctr_loss
from benchmark.training.method import Method
from benchmark.training.modules.transport import matched_share


class IdeFN(Method):
    r"""Relabel what was not clicked by partial optimal transport to what was converted.

    With click o, conversion r, predictions :math:`\hat o, \hat r` and the part :math:`m` of an
    unclicked impression that a plan of total mass :math:`\kappa` moves to the batch's conversions,
    at the squared distance of their encodings, L is the mean over impressions of

    .. math:: e(o, \hat o) + \gamma (\alpha \, o \, e(r, \hat r)
              + (1 - \alpha) (1 - o) \, e(m, \hat r))

    m is a label without gradient, a stop-gradient; it averages to :math:`\kappa` whatever the data.

    Evidence: plan, dummy of cost 0, loss and :math:`\kappa, \alpha, \gamma` read in the paper.

    Differs from the paper: soft labels, where it takes 1 if one conversion receives more of an
    impression than the dummy; Sinkhorn's iterations at a tuned temperature, where it repeats them
    around their last plan; conversions of the batch only; values are tuned.
    """

    name = "IdeFN"
    citation = """
    @inproceedings{zhong2026idefn,
      title = {{IdeFN}: Identifying Unclicked Space False Negatives via Relaxed Partial Optimal
               Transport for Conversion Rate Prediction},
      author = {Zhong, Weiyi and Liu, Weiming and Qi, Lianyong and Zhao, Xiaoran and Xu, Xiaolong
                and Xiang, Haolong and Cao, Yang and Pei, Shichao and Ni, Qiang},
      booktitle = {AAAI},
      year = {2026},
      url = {https://eprints.lancs.ac.uk/id/eprint/235609},
    }
    """
    requires = frozenset({"impression", "click"})
    search_space = {
        "cvr_weight": FloatDistribution(1, 100, log=True),
        "click_share": FloatDistribution(0.5, 0.95),
        "mass": FloatDistribution(0.001, 0.2, log=True),
        "temperature": FloatDistribution(0.02, 1, log=True),
    }

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        cvr_weight: float = 30.0,
        click_share: float = 0.8,
        mass: float = 0.02,
        temperature: float = 0.1,
    ) -> None:
        super().__init__(blueprint)
        self.towers = blueprint.towers(2, self.backbone.width)
        self.cvr_weight, self.click_share = cvr_weight, click_share
        self.transport = {"mass": mass, "temperature": temperature}

    def forward(self, features: Features) -> Prediction:
        ctr, cvr = map(Probability.from_logit, self.towers(self.backbone(features)))
        return Prediction(ctr=ctr, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        encoding = self.backbone(batch.features)
        ctr, cvr = map(Probability.from_logit, self.towers(encoding))
        unclicked, converted = 1 - batch.clicked, batch.clicked * batch.conversion
        matched = matched_share(encoding.detach(), unclicked, converted, **self.transport)
        weights = self.click_share * batch.clicked + (1 - self.click_share) * unclicked
        cvr_loss = (weights * cvr.cross_entropy(converted + matched)).mean()
        return ctr_loss(Prediction(ctr=ctr, cvr=cvr), batch) + self.cvr_weight * cvr_loss
