from dataclasses import replace

import torch

from benchmark.method import (
    Batch,
    Blueprint,
    Features,
    Prediction,
    Probability,
    Tensor,
    losses,
    nn,
    tuned,
)
from benchmark.training.delays.feedback import mean_over
from benchmark.training.modules.paths import Path, PathMethod, compose

FOLDS = 10  # of which one is held out
MULTIPLIER, MODULUS = 1_000_003, 2**31 - 1


class HM3JointCalibrated(PathMethod):
    r"""HM3-Joint (calibrated) corrects the CVR of HM3-Joint on clicks that did not train it.

    A tenth of the rows, those whose features have a hash of 0, trains no tower. With click
    :math:`o`, conversion :math:`r`, the loss :math:`L_J` of HM3-Joint over the other rows, its CVR
    :math:`s` as a logit without gradient, :math:`u = o / \max(y_1, \tau)` of the held-out rows, and
    cross entropy :math:`e`, whose mean is over held-out impressions, the loss is

    .. math:: L = L_J + \mathrm{mean} \, u \, e(r, \hat r), \quad \hat r = \sigma(e^a s + b)

    which is Platt scaling, weighted by inverse propensities. The order of predictions is that of
    HM3-Joint. The correction tends to the best one for all impressions if :math:`y_1` is the true
    propensity and lies above the floor everywhere; without a model of the shift, it cannot mend
    what two numbers do not describe.

    Evidence: the method is ours, after Platt's scaling and HM3-Joint. It is not published.

    Differs from the paper: the cited paper calibrates nothing and has no likelihood of paths; the
    heads and their composition are its own.

    Origin of the defaults: ``post_click_weight`` is that of HM3-Joint. ``propensity_floor`` is
    ours.
    """

    name = "HM3-Joint (calibrated)"
    cite = "wen2021hm3"
    requires = PathMethod.requires | {"impression"}

    post_click_weight: float = tuned(1.0, low=0.1, high=10)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def build(self, blueprint: Blueprint) -> None:
        super().build(blueprint)
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, features: Features) -> Prediction:
        return self._calibrated(compose(self.steps(features)))

    def _calibrated(self, prediction: Prediction) -> Prediction:
        logit = prediction.cvr.log - prediction.cvr.log_not
        cvr = Probability.from_logit(self.log_scale.exp() * logit + self.shift)
        return replace(prediction, cvr=cvr)

    def loss(self, batch: Batch) -> Tensor:
        steps, held_out = self.steps(batch.features), held_out_rows(batch.features)
        joint = compose(steps)
        after_click = batch.clicked * Path.observed(batch).errors(steps[1:])
        errors = steps[0].cross_entropy(batch.clicked) + self.post_click_weight * after_click
        frozen = self._calibrated(replace(joint, cvr=joint.cvr.detach()))
        inverse = losses.click_weights(joint, batch, self.propensity_floor)
        calibration = inverse * losses.cvr_errors(frozen, batch)
        return mean_over(~held_out, errors) + mean_over(held_out, calibration)


def held_out_rows(features: Features) -> Tensor:
    """Return whether a row is held out, (B,): the same for equal ids and numbers, everywhere."""
    numbers = features.dense.float().view(torch.int32)
    total = torch.zeros(len(numbers), dtype=torch.long, device=numbers.device)
    for column in (*features.sparse.long().unbind(1), *numbers.long().unbind(1)):
        total = (total * MULTIPLIER + column) * MULTIPLIER % MODULUS
    return total % FOLDS == 0
