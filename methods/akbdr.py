from benchmark.method import tuned
from benchmark.training.modules.chosen_kernels import AdaptiveKernels


class AKBDR(AdaptiveKernels):
    r"""AKBDR is KBDR, but that it balances the kernels that explain the error of the imputation.

    With click :math:`o`, propensity :math:`p`, error :math:`e` and imputed error :math:`\hat e` as
    in KBDR, and Gaussian kernels :math:`k_j` around candidate impressions of the batch, a ridge
    regression without gradient chooses the :math:`J` kernels of largest :math:`|\epsilon_j|`, to
    whose sum :math:`k` the weights :math:`w` are then fitted as in KBDR:

    .. math:: \min_\epsilon \sum \frac{o}{p} (e - \hat e - \sum_j \epsilon_j k_j)^2
              + \lambda \|\epsilon\|^2, \quad
              \mathrm{mean}_o \, w \log w + \gamma \, (|\mathrm{mean}\, k - \mathrm{mean}_o \, w k|
              - C)_+

    The other losses are those of KBDR. The risk is unbiased for the CVR loss over all impressions
    if :math:`e - \hat e` is a sum of the chosen kernels and the weights balance these, or the
    imputed errors are right.

    Evidence: we read the regression, the choice and the losses in the authors' code of AKBDR, and
    the abstract of the paper. The worst-case choice of kernels is our WKBDR.

    Differs from the paper: that code takes three gradient steps in :math:`\epsilon` on some
    batches, from random values, and carries them over to the impressions of the next batch, to
    which they do not belong. Here, each batch has its own regression, of fewer candidates and with
    a ridge :math:`\lambda`, one thousandth of the mean diagonal of its matrix. What differs in KBDR
    differs here too.

    Origin of the defaults: ``kernels``, :math:`J = 3`, ``balance_weight``, :math:`\gamma = 10`, and
    ``tolerance``, :math:`C = 0.001`, are those of the code's run on Coat. That on Yahoo! R3 has 10
    and 0.1 with :math:`J = 5`, or 0.5 with :math:`J = 3`, and that on KuaiRec 10 and
    :math:`10^{-6}`, which is below our range. ``candidates`` is ours, and ``propensity_floor`` and
    ``propensity_epochs`` are those of our DR-JL.
    """

    name = "AKBDR"
    cite = "li2024debiased"

    balance_weight: float = tuned(10.0, low=0.1, high=100)
    tolerance: float = tuned(1e-3, low=1e-5, high=0.1)
