from benchmark.method import tuned
from benchmark.training.modules.balancing import WithoutImputation


class KBIPS(WithoutImputation):
    r"""KBIPS learns weights of clicks that balance random kernels, and the CVR by these.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, frozen propensity
    :math:`p` with a floor, cross entropy :math:`e`, :math:`\mathrm{mean}_o` the mean over clicks,
    other means over all impressions and the weight :math:`w = \sigma(v) / p` of a network
    :math:`v`, two networks descend in turn

    .. math:: \mathrm{mean}_o \, w \log w + \gamma \, (|\mathrm{mean}\, k - \mathrm{mean}_o \, w k|
              - C)_+, \quad \mathrm{mean}_o \, w \, e(r, \hat r)

    with the sum :math:`k` of :math:`J` Gaussian kernels around random impressions of the batch. The
    last loss is unbiased for the CVR loss over all impressions if :math:`e` is among the functions
    that the weights balance.

    Evidence: we read the losses, their order and weights in the authors' code of KBIPS, and the
    abstract of the paper. Its adaptive choice of kernels is our AKBIPS, its worst-case one our
    WKBIPS.

    Differs from the paper: as in our KBDR, the weights learn, which that code prevents by detaching
    them, the kernels are of the propensity's encodings, propensities are learned from clicks alone,
    and neural networks replace matrix factorisations.

    Origin of the defaults: ``kernels``, :math:`J = 3`, ``balance_weight``, :math:`\gamma = 1`, and
    ``tolerance``, :math:`C = 0.01`, are the code's on Coat; elsewhere it has :math:`C = 0.0001`.
    ``propensity_floor`` and ``propensity_epochs`` are those of our DR-JL.
    """

    name = "KBIPS"
    cite = "li2024debiased"

    tolerance: float = tuned(0.01, low=1e-5, high=0.1)
