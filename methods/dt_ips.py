from benchmark.method import Batch, Tensor, losses, tuned
from benchmark.training.modules.disentangled import Disentangled


class DTIPS(Disentangled):
    r"""DT-IPS weights clicks by propensities that see an encoding of which the CVR knows nothing.

    With click :math:`o`, conversion :math:`r`, two encodings :math:`a, b` of an impression,
    predictions :math:`\hat r(a)` and :math:`p(a, b)`, cross entropy :math:`e`, a floor on
    :math:`p` as divisor, means over all impressions, :math:`\| \cdot \|^2` the mean square entry
    and :math:`\mathrm{mean}_o` the mean over clicks, the loss is

    .. math:: L = \mathrm{mean} \frac{o}{p} e(r, \hat r) + \alpha \, \mathrm{mean}\, e(o, p)
              + \beta (\|\mathrm{mean}\, a b^\top\|^2 + \|\mathrm{mean}\, o a b^\top\|^2)
              + \eta (\mathrm{mean} \|a, b\|^2 + \mathrm{mean}_o \|a, b\|^2)

    The penalty :math:`\beta` keeps what moves conversions, in :math:`a`, apart from what moves
    clicks alone, in :math:`b`, by which propensities that depend on the conversion too are assumed
    to be identified. The first term is unbiased for the CVR loss over all impressions if :math:`p`
    is the true propensity and lies above the floor everywhere.

    Evidence: we read the loss, its weights and the joint step in the authors' code, not the paper.

    Differs from the paper: towers on two encodings replace inner products of user and item
    embeddings, and one penalty on the encodings replaces those on users and on items. Numbers that
    the encoder passes on are part of both. Propensities carry no gradient as weights, where the
    code stops none. The code averages weighted errors over clicks, here over impressions. Its
    penalty :math:`\beta` is on sums over the rows of a batch, hence our second weight
    :math:`\eta`.

    Origin of the defaults: ``propensity_weight``, :math:`\alpha`, ``norm_weight``, :math:`\eta`,
    and ``propensity_floor`` are those of the authors' code on Coat, where :math:`\eta = \beta`.
    ``disentangling_weight``, :math:`\beta`, is its 0.01 on sums over 768 rows, hence 5898 on means.
    """

    name = "DT-IPS"
    cite = "zhang2024uncovering"

    disentangling_weight: float = tuned(5898.0, low=1, high=1e6)
    norm_weight: float = tuned(0.01, low=1e-5, high=0.1)

    def loss(self, batch: Batch) -> Tensor:
        a, b = self.encode(batch.features)
        prediction = self.heads(a, b)
        risk = losses.ips_loss(prediction, batch, self.propensity_floor)
        return risk + self.propensity_loss(prediction, a, b, batch)
