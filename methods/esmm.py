from benchmark.method import Batch, CtrCvr, Tensor, losses, tuned


class ESMM(CtrCvr):
    r"""ESMM learns the CVR over all impressions, as the factor that turns a CTR into a CTCVR.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r` and the mean
    cross entropy :math:`e` over all impressions, the loss is

    .. math:: L = e(o, \hat o) + w_c \, e(or, \hat o \hat r)

    The CVR has no loss of its own. The gradient of the second term reaches :math:`\hat o` too,
    and it lowers :math:`\hat r` on every unclicked impression, converting or not.

    Evidence: we verified the loss in the authors' published code.

    Differs from the paper: the tower sizes are those of the benchmark, and :math:`w_c` is tuned.

    Origin of the defaults: ``ctcvr_weight`` is 1 in the paper and in the authors' code.
    """

    name = "ESMM"
    cite = "ma2018entire"

    ctcvr_weight: float = tuned(1.0, low=0.1, high=10)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        click_loss = losses.ctr_loss(prediction, batch)
        return click_loss + self.ctcvr_weight * losses.ctcvr_loss(prediction, batch)
