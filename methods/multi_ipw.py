from benchmark.method import Batch, CtrCvr, Tensor, losses, tuned


class MultiIPW(CtrCvr):
    r"""Multi-IPW weights each click by its inverse propensity, which a CTR task learns alongside.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, floor
    :math:`\tau`, cross entropy :math:`e` and means over all impressions, the loss is

    .. math:: L = \mathrm{mean}\, e(o, \hat o)
              + w \, \mathrm{mean}(o \, e(r, \hat r) / \max(\hat o, \tau))

    The weight of a click carries no gradient. The last term is unbiased for the CVR loss over
    all impressions if :math:`\hat o` is the true propensity and lies above the floor everywhere.

    Evidence: a later paper that we read restates both losses with their equation numbers.

    Differs from the paper: propensities have a floor, the tower sizes are those of the benchmark,
    and the floor and :math:`w` are tuned.

    Origin of the defaults: ``cvr_weight`` is 1 in the paper. ``propensity_floor``, 0.05, is that of
    a later comparison, in the code of DT-DR, on all data sets; the paper's is not known to us.
    """

    name = "Multi-IPW"
    cite = "zhang2020large"

    cvr_weight: float = tuned(1.0, low=0.1, high=10)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        ips = losses.ips_loss(prediction, batch, self.propensity_floor)
        return losses.ctr_loss(prediction, batch) + self.cvr_weight * ips
