from benchmark.method import tuned
from benchmark.training.modules.balancing import WithoutImputation
from benchmark.training.modules.chosen_kernels import WorstKernels


class WKBIPS(WithoutImputation, WorstKernels):
    r"""WKBIPS is KBIPS, but that it balances the kernels that are furthest out of balance.

    With click :math:`o`, weight :math:`w` and the other symbols of KBIPS, and Gaussian kernels
    :math:`k_j` around candidate impressions of the batch, the function
    :math:`\phi = \sum_j \epsilon_j k_j` that is furthest out of balance has coefficients

    .. math:: \epsilon = \arg\max_\epsilon
              \frac{(\mathrm{mean}\, \phi - \mathrm{mean}_o \, w \phi)^2}
              {\mathrm{mean}\, \phi^2 + \lambda \|\epsilon\|^2}

    The :math:`J` kernels of largest :math:`|\epsilon_j|` make up the sum :math:`k` in the loss of
    the weights. The other losses are those of KBIPS.

    Evidence: we read the ratio, the choice and the losses in the authors' code of WKBIPS, and the
    abstract of the paper.

    Differs from the paper: that code takes three gradient steps in :math:`\epsilon` on some
    batches, carries the coefficients over to other impressions, and divides by the squared sum of
    :math:`\phi` over clicks, which vanishes where the ratio is largest. It compares sums over
    unlike numbers of rows, not means. Here, each batch has its own coefficients, in closed form, of
    fewer candidates, and :math:`\lambda` is one thousandth of the mean square of a kernel. What
    differs in KBIPS differs here too.

    Origin of the defaults: ``kernels``, :math:`J = 3`, ``balance_weight``, :math:`\gamma = 1`, and
    ``tolerance``, :math:`C = 0.001`, are those of the code's run on Coat; that on Yahoo! R3 has
    :math:`\gamma = 10`. ``candidates`` is ours, and ``propensity_floor`` and ``propensity_epochs``
    are those of our DR-JL.
    """

    name = "WKBIPS"
    cite = "li2024debiased"

    tolerance: float = tuned(1e-3, low=1e-5, high=0.1)
