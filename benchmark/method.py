"""All that a file of ``methods/`` imports: what a method is, sees, predicts and is made of.

Methods of one family import, beside this, the module that they share with each other:
:mod:`benchmark.training.modules.doubly_robust`, :mod:`benchmark.training.modules.imputation`,
:mod:`benchmark.training.modules.balancing`, :mod:`benchmark.training.modules.chosen_kernels`,
:mod:`benchmark.training.modules.disentangled`, :mod:`benchmark.training.modules.experts`,
:mod:`benchmark.training.modules.paths`, :mod:`benchmark.training.modules.trees`,
:mod:`benchmark.training.modules.weighted_trees`, :mod:`benchmark.training.delays.feedback` or
:mod:`benchmark.training.delays.correction`.
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.training import losses
from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint, mlp
from benchmark.training.hyperparameters import tuned
from benchmark.training.method import CtrCvr, Cvr, Method, Phase, Update

__all__ = [
    "Batch",
    "Blueprint",
    "CtrCvr",
    "Cvr",
    "Features",
    "Method",
    "Phase",
    "Prediction",
    "Probability",
    "Tensor",
    "Update",
    "losses",
    "mlp",
    "nn",
    "tuned",
]
