from benchmark.method import Batch, Cvr, Tensor, tuned


class UnclickedNegative(Cvr):
    r"""AMAN counts every unclicked impression as one that would not have converted.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, cross entropy :math:`e`
    and the mean over all impressions, the loss is

    .. math:: L = \mathrm{mean}\, (o \, e(r, \hat r) + w (1 - o) \, e(0, \hat r))

    The method underestimates the CVR: where impressions are clicked with probability :math:`c`
    and clicks convert with probability :math:`p`, the best prediction is
    :math:`cp / (c + w (1 - c))`. At :math:`w = 1` this is the CTCVR, :math:`cp`, and the method
    ranks impressions by it. It predicts no CTR.

    Evidence: we read of "all missing as negative" in a summary of the cited paper. As a baseline
    for the CVR, with sampled negatives, it is described in secondary sources on ESMM.

    Differs from the paper: the cross entropy of a network replaces a factorised matrix, and the
    weight :math:`w` replaces the drawing of negatives at the rate :math:`w`, whose expectation
    it is.

    Origin of the defaults: ``negative_weight`` is 1, as in "all missing as negative".
    """

    name = "AMAN"
    cite = "pan2008one"
    requires = frozenset({"impression", "click"})

    negative_weight: float = tuned(1.0, low=0.01, high=1)

    def loss(self, batch: Batch) -> Tensor:
        cvr, clicked = self(batch.features).cvr, batch.clicked
        negative = -self.negative_weight * (1 - clicked) * cvr.log_not
        return (clicked * cvr.cross_entropy(batch.conversion) + negative).mean()
