"""Vanilla (stream): clicks arrive once, after a short wait, and are taken at their word."""

from __future__ import annotations

from functools import partial

from optuna.distributions import FloatDistribution

from benchmark.training.blueprint import Blueprint
from benchmark.training.delays.feedback import DelayedFeedback
from benchmark.training.delays.schedule import Schedule, waiting


class StreamVanilla(DelayedFeedback):
    r"""Fit the CVR to the labels known after a wait, as if no conversion came later.

    With label r after the wait and prediction :math:`\hat r`, L is the mean over arrivals of

    .. math:: - r \log \hat r - (1 - r) \log (1 - \hat r)

    Too low by the share of conversions that come later: what the other methods on streams try to
    correct.

    Evidence: a baseline of the cited paper, read in its authors' published code.

    Differs from the paper: the wait is a share of the attribution window and tuned; the stream
    begins one attribution window after the log and is replayed once per epoch.
    """

    name = "Vanilla (stream)"
    citation = """
    @inproceedings{yang2021capturing,
      title = {Capturing Delayed Feedback in Conversion Rate Prediction via Elapsed-Time Sampling},
      author = {Yang, Jia-Qi and Li, Xiang and Han, Shuguang and Zhuang, Tao and Zhan, De-Chuan
                and Zeng, Xiaoyi and Tong, Bin},
      booktitle = {AAAI},
      year = {2021},
      eprint = {2012.03245},
    }
    """
    search_space = {"wait": FloatDistribution(0.0003, 0.3, log=True)}

    def __init__(self, blueprint: Blueprint, *, wait: float = 0.05) -> None:
        super().__init__(blueprint)
        self.wait = wait

    def schedule(self) -> Schedule:
        return partial(waiting, wait=self.wait)
