from benchmark.method import tuned
from benchmark.training.modules.balancing import KernelBalancing


class KBDR(KernelBalancing):
    r"""KBDR is doubly robust learning with weights of clicks that balance random kernels.

    With click :math:`o`, conversion :math:`r`, prediction :math:`\hat r`, pseudo-label
    :math:`\tilde r`, frozen propensity :math:`p` with a floor, :math:`e = e(r, \hat r)`,
    :math:`\hat e = e(\tilde r, \hat r)`, :math:`\mathrm{mean}_o` the mean over clicks, other means
    over all impressions and the weight :math:`w = \sigma(v) / p` of a network :math:`v`, three
    networks descend in turn

    .. math:: \mathrm{mean}_o \, w \log w + \gamma \, (|\mathrm{mean}\, k - \mathrm{mean}_o \, w k|
              - C)_+, \quad \mathrm{mean}_o \, w (e - \hat e)^2, \quad
              \mathrm{mean}\, \hat e + \mathrm{mean}_o \, w (e - \hat e)

    with the sum :math:`k` of :math:`J` Gaussian kernels around random impressions of the batch. The
    last loss is unbiased for the CVR loss over all impressions if :math:`e - \hat e` is among the
    functions that the weights balance, or the imputed errors are right.

    Evidence: we read the losses and their weights in the authors' code of KBDR, and the abstract of
    the paper. Its adaptive choice of kernels is our AKBDR, its worst-case one our WKBDR.

    Differs from the paper: that code detaches :math:`w` in its own loss, so that the weights never
    learn, and does not weigh :math:`\hat e` of clicks in the last loss, which is not doubly robust;
    it also swaps the arguments of :math:`\hat e` in the imputation, which there follows the
    prediction in each batch. The kernels are of the propensity's encodings, with distances in units
    of their mean square, where the code takes embeddings of a factorisation that make them nearly
    constant. :math:`p` is learned from clicks, not counted with the help of random data. Neural
    networks replace matrix factorisations.

    Origin of the defaults: ``kernels``, :math:`J = 3`, ``balance_weight``, :math:`\gamma = 1`, and
    ``tolerance``, :math:`C`, are the code's on Coat; it has :math:`\gamma = 100` on Yahoo! R3 and
    10 on KuaiRec. ``propensity_floor`` and ``propensity_epochs`` are those of our DR-JL.
    """

    name = "KBDR"
    cite = "li2024debiased"

    tolerance: float = tuned(1e-4, low=1e-5, high=0.1)
