from collections.abc import Iterator

from benchmark.method import Batch, Prediction, Tensor, Update, losses, tuned
from benchmark.training.modules.doubly_robust import DoublyRobust, learned_click_weights


class DRV2(DoublyRobust):
    r"""DR-V2 is doubly robust learning with propensities that balance what is predicted.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, pseudo-label
    :math:`\tilde r`, propensity :math:`p` and :math:`q = 1 - p`, both with a floor,
    :math:`u = o / p`, error :math:`e = e(r, \hat r)`, imputed error
    :math:`\hat e = e(\tilde r, \hat r)` and means over all impressions, three networks descend at
    once

    .. math:: L = \mathrm{mean}(e(o, p) + \alpha e(or, p \hat r)
              + \beta (\hat e + u (e - \hat e)) + \theta u (e - \hat e)^2)
              + \gamma \, \mathrm{mean}((\frac{o}{p} - \frac{1 - o}{q}) \hat r)^2

    The last mean is 0 in expectation where :math:`p` is right. The third term is constant in
    :math:`p` and :math:`\tilde r`, the fourth in all but :math:`\tilde r`. The third is unbiased
    for the CVR loss over all impressions if the propensities or the imputed errors are right.

    Evidence: we read the loss and the joint step in the authors' code.

    Differs from the paper: propensities have a floor and, as weights, no gradient. Cross entropy
    replaces the squared error, and neural networks replace matrix factorisation. The imputation
    is a network of its own and its term a constant to the others, so that its weight
    :math:`\theta` matters to the optimiser alone, and little to one like Adam.

    Origin of the defaults: ``ctcvr_weight``, :math:`\alpha = 1`, ``cvr_weight``,
    :math:`\beta = 10`, ``balance_weight``, :math:`\gamma = 1`, and ``imputation_weight``,
    :math:`\theta = 5`, are those of the authors' current code on "product"; on "coat" it has 1, 2,
    0.1 and 0.001. ``propensity_floor`` is ours.
    """

    name = "DR-V2"
    cite = "li2023propensity"

    propensity_epochs = 0
    calibrate = False
    ctcvr_weight: float = tuned(1.0, low=0.1, high=10)
    cvr_weight: float = tuned(10.0, low=0.1, high=10)
    balance_weight: float = tuned(1.0, low=0.01, high=10)
    imputation_weight: float = tuned(5.0, low=1e-3, high=10)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        balance = balancing_weights(prediction, batch, self.propensity_floor)
        return (
            losses.ctr_loss(prediction, batch)
            + self.ctcvr_weight * losses.ctcvr_loss(prediction, batch)
            + self.cvr_weight * self.risk(prediction, batch)
            + self.imputation_weight * self.imputation_loss(prediction, batch)
            + self.balance_weight * (balance * prediction.cvr.value()).mean().square()
        )

    def updates(self, batch: Batch) -> Iterator[Update]:
        yield Update(self.loss(batch), self)


def balancing_weights(prediction: Prediction, batch: Batch, floor: float) -> Tensor:
    """Return o / max(p, floor) - (1 - o) / max(1 - p, floor), (B,), with gradient.

    Their product with any function of the features is 0 in expectation where p is right.
    """
    assert prediction.ctr is not None
    unclicked = (1 - batch.clicked) / prediction.ctr.log_not.exp().clamp_min(floor)
    return learned_click_weights(prediction, batch, floor) - unclicked
