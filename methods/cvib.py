import math

from benchmark.method import Batch, Cvr, Probability, Tensor, losses, tuned


class CVIB(Cvr):
    r"""CVIB ties the mean CVR of impressions to that of clicks by an information bottleneck.

    With the clicked rows :math:`O` of a batch :math:`D` of impressions, conversion :math:`r`,
    prediction :math:`\hat r`, cross entropy :math:`e` and the mean :math:`m_S` of :math:`\hat r`
    over :math:`S`, the loss is

    .. math:: L = \frac{1}{|O|} \sum_O e(r, \hat r) + \alpha \, e(m_O, m_D)
              + \frac{\gamma}{|O|} \sum_O \hat r \log \hat r

    There is no propensity, and no estimate of the loss over impressions. The contrast assumes
    that impressions convert as often as clicks do, which selection makes wrong. As
    :math:`e(m, m)` is an entropy, it also draws rates below one half towards 0, on clicks too.
    The method predicts no CTR.

    Evidence: the loss is that of the paper, which third-party copies of the authors' code agree
    with. The authors' own code differs in its current version: its contrast equals
    :math:`-\alpha` times the mean log-prediction of clicks, which sends no gradient to unclicked
    rows and raises the predictions of clicks.

    Differs from the paper: impressions play the part of all user-item pairs, :math:`\alpha` and
    :math:`\gamma` are tuned, and a batch without clicks has no loss.

    Origin of the defaults: ``contrast_weight``, :math:`\alpha`, 0.1 and ``confidence_weight``,
    :math:`\gamma`, 0.01 are the arguments' defaults in the authors' code, which we take. Its
    experiments pass 1 and, by data set, 0.00001 or 0.01, with the other contrast.
    """

    name = "CVIB"
    cite = "wang2020information"
    requires = frozenset({"impression", "click"})

    contrast_weight: float = tuned(0.1, low=0.01, high=2)
    confidence_weight: float = tuned(0.01, low=1e-3, high=1)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        clicked, everywhere = prediction.cvr.value(), mean(prediction.cvr)
        contrast = everywhere.cross_entropy(losses.over_clicks(clicked, batch))
        confidence = losses.over_clicks(clicked * prediction.cvr.log, batch)
        penalty = self.contrast_weight * contrast + self.confidence_weight * confidence
        return losses.click_cvr_loss(prediction, batch) + batch.clicked.amax() * penalty


def mean(probability: Probability) -> Probability:
    """Return the mean over rows, in log space."""
    rows = math.log(len(probability.log))
    return Probability(probability.log.logsumexp(0) - rows, probability.log_not.logsumexp(0) - rows)
