from benchmark.method import Batch, CtrCvr, Tensor, losses, tuned


class MultiSNIPS(CtrCvr):
    r"""Multi-SNIPS is Multi-IPW with propensity weights that sum to 1 over a batch.

    With click :math:`o`, conversion :math:`r`, predictions :math:`\hat o, \hat r`, floor
    :math:`\tau`, weight :math:`u = o / \max(\hat o, \tau)`, cross entropy :math:`e` and sums over
    a batch :math:`B` of impressions, the loss is

    .. math:: L = \frac{1}{|B|} \sum e(o, \hat o) + w \frac{\sum u \, e(r, \hat r)}{\sum u}

    The weight carries no gradient. The last term is consistent for the CVR loss over all
    impressions if the propensities are right up to a common factor; its bias is of the order of
    one over the clicks of a batch, and its variance is below that of Multi-IPW. Constant
    propensities give the naive loss.

    Evidence: we verified the estimator in the cited paper and in public code. Its use beside a CTR
    task is ours and has no published counterpart.

    Differs from the paper: the paper is about learning from logged bandit feedback. The tasks are
    those of Multi-IPW, and the sums run over a batch instead of the whole data.

    Origin of the defaults: ``cvr_weight`` and ``propensity_floor`` are those of Multi-IPW.
    """

    name = "Multi-SNIPS"
    cite = "swaminathan2015self"

    cvr_weight: float = tuned(1.0, low=0.1, high=10)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        snips = losses.snips_loss(prediction, batch, self.propensity_floor)
        return losses.ctr_loss(prediction, batch) + self.cvr_weight * snips
