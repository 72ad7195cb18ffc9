from dataclasses import replace

from benchmark.method import Batch, Blueprint, Tensor, losses, tuned
from benchmark.training.modules.disentangled import Disentangled
from benchmark.training.modules.doubly_robust import Network


class DTDR(Disentangled):
    r"""DT-DR imputes labels beside propensities that see an encoding unknown to the CVR.

    With click :math:`o`, conversion :math:`r`, two encodings :math:`a, b` of an impression,
    predictions :math:`\hat r(a)` and :math:`p(a, b)`, pseudo-label :math:`\tilde r` of a third
    network, cross entropy :math:`e = e(r, \hat r)`, imputed error
    :math:`\hat e = e(\tilde r, \hat r)`, :math:`u = o / p` with a floor on :math:`p` and means
    over all impressions, the loss is

    .. math:: L = \mathrm{mean}(\hat e + u (e - \hat e) + u (e - \hat e)^2
              + \alpha e(o, p)) + P(a, b)

    with the penalties :math:`P` of DT-IPS on what :math:`a` and :math:`b` share, weighted
    :math:`\beta`, and on their norms, weighted :math:`\eta`. Only :math:`\tilde r` learns from the
    third term, and is a constant in the first two: they are unbiased for the CVR loss over all
    impressions if the propensities or the imputed errors are right.

    Evidence: we read the loss, its weights and the joint step in the authors' code, not the paper.

    Differs from the paper: as in our DT-IPS, towers on two encodings replace inner products, and
    weights carry no gradient. Each network is a constant to the others, where the code stops no
    gradient and the risk rewards imputing badly. The penalty :math:`\beta` is on means, not sums.

    Origin of the defaults: ``propensity_weight``, ``norm_weight``, :math:`\eta`, and
    ``propensity_floor`` are those of the authors' code on Coat. The weight 1 of the third term is
    its too, but of a mean over clicks, where ours is over impressions. ``disentangling_weight`` is
    its 0.1 on sums over 512 rows, hence 26214 on means.
    """

    name = "DT-DR"
    cite = "zhang2024uncovering"

    disentangling_weight: float = tuned(26214.0, low=1, high=1e6)
    norm_weight: float = tuned(0.1, low=1e-5, high=1)

    def build(self, blueprint: Blueprint) -> None:
        super().build(blueprint)
        self.imputer = Network(blueprint.backbone(), blueprint)

    def loss(self, batch: Batch) -> Tensor:
        a, b = self.encode(batch.features)
        label = self.imputer(batch.features).sigmoid()
        prediction = self.heads(a, b)
        prediction = replace(prediction, imputed_error=prediction.cvr.detach().cross_entropy(label))
        risk = losses.dr_loss(prediction, batch, self.propensity_floor, label)
        imputation = losses.imputation_loss(prediction, batch, self.propensity_floor)
        return risk + imputation + self.propensity_loss(prediction, a, b, batch)
