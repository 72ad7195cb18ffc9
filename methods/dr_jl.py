"""DR-JL: a prediction and an imputation of its errors, learned in turn by doubly robust risks."""

from __future__ import annotations

from benchmark.training.modules.doubly_robust import DoublyRobust


class DRJL(DoublyRobust):
    r"""Impute a conversion everywhere, and correct the error that it implies on clicks.

    With click o, conversion r, prediction :math:`\hat r`, pseudo-label :math:`\tilde r`, frozen
    propensity p with floor, :math:`u = o / p`, :math:`e = e(r, \hat r)`, :math:`\hat e =
    e(\tilde r, \hat r)` and means over all impressions, two networks descend in turn

    .. math:: L_r = \mathrm{mean}(\hat e + u (e - \hat e)), \quad
              L_e = \mathrm{mean}(u (e - \hat e)^2)

    Evidence: both losses read in public code of later authors, floor 0.05 to 0.1 there.

    Differs from the paper: impressions stand for all user-item pairs, cross entropy for the squared
    error, neural networks for matrix factorisation; steps alternate by batch; the floor is tuned.
    The code imputes by e of swapped arguments, which is not the error that the risk uses: not so
    here. Calibration of p is an option, off by default.
    """

    name = "DR-JL"
    citation = """
    @inproceedings{wang2019doubly,
      title     = {Doubly Robust Joint Learning for Recommendation on Data Missing Not at Random},
      author    = {Wang, Xiaojie and Zhang, Rui and Sun, Yu and Qi, Jianzhong},
      booktitle = {ICML},
      year      = {2019},
      url       = {https://proceedings.mlr.press/v97/wang19n.html},
    }
    """
