from benchmark.method import Batch, CtrCvr, Tensor, losses, tuned
from benchmark.training.modules.doubly_robust import learned_click_weights


class IPSV2(CtrCvr):
    r"""IPS-V2 weights clicks by inverse propensities that balance what is predicted.

    With click :math:`o`, conversion :math:`r`, predictions :math:`p, \hat r` of CTR and CVR, cross
    entropy :math:`e`, :math:`p` and :math:`q = 1 - p` with a floor as divisors and means over all
    impressions, the loss is

    .. math:: L = \mathrm{mean}(e(o, p) + \alpha e(or, p \hat r) + \beta \frac{o}{p} e(r, \hat r))
              + \gamma \, \mathrm{mean}((\frac{o}{p} - \frac{1 - o}{q}) \hat r)^2

    The last mean is 0 in expectation where :math:`p` is right, and teaches both predictions. The
    third term is constant in :math:`p`; it is unbiased for the CVR loss over all impressions if
    :math:`p` is the true propensity and lies above the floor everywhere. With :math:`\gamma = 0`,
    the method is ESCM²-IPS.

    Evidence: we read the loss, its weights and the joint step in the authors' code.

    Differs from the paper: propensities have a floor and, as weights, no gradient. Cross entropy
    replaces the squared error of the code, and two towers on the shared embedding replace two
    matrix factorisations.

    Origin of the defaults: ``ctcvr_weight``, :math:`\alpha = 1`, ``cvr_weight``,
    :math:`\beta = 10`, and ``balance_weight``, :math:`\gamma = 0.5`, are those of the authors' code
    on "product"; on "coat" it has 1, 1 and 0.01. ``propensity_floor`` is that of our DR-V2.
    """

    name = "IPS-V2"
    cite = "li2023propensity"

    ctcvr_weight: float = tuned(1.0, low=0.1, high=10)
    cvr_weight: float = tuned(10.0, low=0.1, high=10)
    balance_weight: float = tuned(0.5, low=0.01, high=10)
    propensity_floor: float = tuned(0.05, low=0.01, high=0.2)

    def loss(self, batch: Batch) -> Tensor:
        prediction = self(batch.features)
        assert prediction.ctr is not None
        unclicked = prediction.ctr.log_not.exp().clamp_min(self.propensity_floor)
        clicked = learned_click_weights(prediction, batch, self.propensity_floor)
        balance = clicked - (1 - batch.clicked) / unclicked
        return (
            losses.ctr_loss(prediction, batch)
            + self.ctcvr_weight * losses.ctcvr_loss(prediction, batch)
            + self.cvr_weight * losses.ips_loss(prediction, batch, self.propensity_floor)
            + self.balance_weight * (balance * prediction.cvr.value()).mean().square()
        )
