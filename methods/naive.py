from benchmark.method import Batch, Cvr, Tensor, losses


class Naive(Cvr):
    r"""Naive fits the CVR on clicks as if they were a fair sample of impressions.

    With the clicked rows :math:`O`, conversion :math:`r`, prediction :math:`\hat r` and cross
    entropy :math:`e`, the loss is

    .. math:: L = \frac{1}{|O|} \sum_O e(r, \hat r)

    It is unbiased if clicks are independent of conversions given the features. Where whatever
    makes a user click also bears on conversion, it is biased, which the other methods try to
    correct. The method predicts no CTR.

    Evidence: the method is the baseline BASE of the cited paper. We read its loss in secondary
    sources that agree.

    Differs from the paper: the encoder and the tower sizes are those of the benchmark.
    """

    name = "Naive"
    cite = "ma2018entire"

    def loss(self, batch: Batch) -> Tensor:
        return losses.click_cvr_loss(self(batch.features), batch)
