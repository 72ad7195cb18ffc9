from benchmark.method import Batch, CtrCvr, Tensor, losses, tuned


class ESCM2SNIPS(CtrCvr):
    r"""ESCM²-SNIPS is ESCM²-IPS with propensity weights that sum to 1 over a batch.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, floor
    :math:`\tau`, weight :math:`u = o / \max(\hat o, \tau)`, cross entropy :math:`e`, and sums and
    means over a batch of impressions, the loss is

    .. math:: L = \mathrm{mean}\, e(o, \hat o)
              + \lambda_c \frac{\sum u \, e(r, \hat r)}{\sum u}
              + \lambda_g \, \mathrm{mean}\, e(or, \hat o \hat r)

    The weight carries no gradient, while the last term trains :math:`\hat o` as well. The middle
    term is consistent for the CVR loss over all impressions if the propensities are right up to
    a common factor; its bias is of the order of one over the clicks of a batch.

    Evidence: we verified the estimator in the cited paper and in public code. Its combination
    with the losses of ESCM² is ours and has no published counterpart.

    Differs from the paper: the paper is about learning from logged bandit feedback. The other
    losses are those of ESCM²-IPS, and the sums run over a batch instead of the whole data.

    Origin of the defaults: ``cvr_weight``, ``ctcvr_weight`` and ``propensity_floor`` are those of
    ESCM²-IPS. None was published for this combination.
    """

    name = "ESCM²-SNIPS"
    cite = "swaminathan2015self"

    cvr_weight: float = tuned(0.1, low=0.01, high=10)
    ctcvr_weight: float = tuned(1.0, low=0.1, high=10)
    propensity_floor: float = tuned(0.1, low=0.01, high=0.2)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        snips = self.cvr_weight * losses.snips_loss(prediction, batch, self.propensity_floor)
        ctcvr = self.ctcvr_weight * losses.ctcvr_loss(prediction, batch)
        return losses.ctr_loss(prediction, batch) + snips + ctcvr
