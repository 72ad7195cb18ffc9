from collections.abc import Iterator

from benchmark.method import Batch, Prediction, Tensor, Update, losses, tuned
from benchmark.training.modules.doubly_robust import DoublyRobust, learned_click_weights


class StableDR(DoublyRobust):
    r"""StableDR self-normalises the weights of clicks and learns propensities that allow for it.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, pseudo-label
    :math:`\tilde r`, propensity :math:`p`, :math:`u = o / p`, :math:`e = e(r, \hat r)`,
    :math:`\hat e = e(\tilde r, \hat r)` and means over all impressions, the imputation, the
    propensity and the prediction descend in turn

    .. math:: \mathrm{mean}(u (e - \hat e)^2), \quad \mathrm{mean}\, e(o, p) + \eta \,
              \mathrm{mean}((1 - u)(\hat e - \mathrm{mean}\, \hat e))^2, \quad \sum u e / \sum u

    The errors of clicks bound the last loss, however small :math:`p` is. Where the squared mean is
    0, it equals :math:`\mathrm{mean}\, \hat e + \sum u (e - \hat e) / \sum u`: it is doubly robust.

    Evidence: we read the losses and their order in the first author's later code.

    Differs from the paper: the propensity is a network and has a floor; that code's is naive Bayes,
    with the help of random ratings. The arguments of :math:`\hat e` are not swapped, as they are in
    that code, in the imputation and the constraint.

    Origin of the defaults: ``constraint_weight``, :math:`\eta`, is that of the code's run on Coat,
    100 on sums over 384 rows, which is 38,400 on means. Those on Yahoo! R3 and KuaiRec have 1,000
    on sums over 40,960 rows, which is :math:`4.1 \cdot 10^7` on means and beyond our range; its
    function's own default, 1 on sums over 128 rows, is 128. ``propensity_floor`` and
    ``propensity_epochs`` are our DR-JL's.
    """

    name = "StableDR"
    cite = "li2023stabledr"

    calibrate = False
    constraint_weight: float = tuned(38_400.0, low=10, high=100_000)

    def risk(self, prediction: Prediction, batch: Batch) -> Tensor:
        return losses.snips_loss(prediction, batch, self.propensity_floor)

    def constraint(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Return the mean of (1 - u) (ê - mean ê), with gradient in the propensity."""
        weights = learned_click_weights(prediction, batch, self.propensity_floor)
        imputed = self.imputed_errors(prediction, batch)
        return ((1 - weights) * (imputed - imputed.mean())).mean()

    def updates(self, batch: Batch) -> Iterator[Update]:
        prediction = self(batch.features)
        yield Update(self.imputation_loss(prediction, batch), self.imputer)
        penalty = self.constraint_weight * self.constraint(prediction, batch).square()
        yield Update(losses.ctr_loss(prediction, batch) + penalty, self.propensity)
        yield Update(self.loss(batch), self.predictor)
