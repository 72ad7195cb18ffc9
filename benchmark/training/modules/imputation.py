r"""One network for clicks, conversions and what is imputed: doubly robust multi-task learning.

With click o, conversion r, predictions ô and r̂, floor τ, cross entropy e and inverse propensities
u = o / max(ô, τ), which carry no gradient.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from benchmark.training import losses
from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint
from benchmark.training.hyperparameters import tuned
from benchmark.training.method import Method


class ImputingTowers(Method):
    """Three towers on one encoding: CTR, CVR, and the imputation of the error of the CVR.

    With ``imputes`` "label", the third tower predicts a pseudo-label r̃, and the imputed error is
    e(r̃, r̂). With "error", it predicts a positive number, the imputed error itself.
    """

    requires = frozenset({"impression", "click"})

    imputes: str = tuned("label", choices=("label", "error"))

    def build(self, blueprint: Blueprint) -> None:
        """Make the towers."""
        self.towers = blueprint.towers(3, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        """Predict CTR, CVR and the error of the CVR, to which the CVR is a constant."""
        return self._read(features)[0]

    def risk(self, batch: Batch, floor: float) -> tuple[Prediction, Tensor]:
        """Return the prediction, and the doubly robust risk plus the loss of the imputation.

        The risk is the mean over impressions of ê + u (e - ê), with e = e(r, r̂) and the imputed
        error ê. The third tower is a constant to it, and the CVR is one to the loss of the
        imputation, the mean of u (e - ê)². Imputed labels let the risk teach the CVR on all
        impressions, imputed errors on clicks alone.
        """
        prediction, pseudo_label = self._read(batch.features)
        imputation = losses.imputation_loss(prediction, batch, floor)
        return prediction, losses.dr_loss(prediction, batch, floor, pseudo_label) + imputation

    def _read(self, features: Features) -> tuple[Prediction, Tensor | None]:
        """Return the prediction and the pseudo-label, None where errors are imputed."""
        ctr, cvr, third = self.towers(self.backbone(features))
        click, converts = Probability.from_logit(ctr), Probability.from_logit(cvr)
        if self.imputes == "error":
            error, label = softplus(third), None
        else:
            label = third.sigmoid()
            error = converts.detach().cross_entropy(label)
        return Prediction(ctr=click, cvr=converts, imputed_error=error), label
