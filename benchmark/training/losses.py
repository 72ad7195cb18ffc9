r"""Shared pieces of losses, with click o, conversion r, predictions ô and r̂, e = cross entropy.

Averages say over what: :func:`over_clicks` or ``.mean()`` over all impressions. No propensity that
is a weight here carries a gradient, nor what a loss takes as given; losses that learn a propensity
by its weights take these from elsewhere, and say so.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import torch
from torch import Tensor

from benchmark.training.batch import Batch, Prediction, Probability

PostClick = Literal["micro", "macro", "conversion"]
T = TypeVar("T")


def over_clicks(values: Tensor, batch: Batch) -> Tensor:
    """Return the mean over clicked rows, 0 if there is none."""
    clicked = batch.clicked
    return (clicked * values).sum() / clicked.sum().clamp_min(1)


def cvr_errors(prediction: Prediction, batch: Batch) -> Tensor:
    """Return e(r, r̂) per row, shape (B,); meaningless where the row is not clicked."""
    return prediction.cvr.cross_entropy(batch.conversion)


def click_cvr_loss(prediction: Prediction, batch: Batch) -> Tensor:
    """Return the mean of e(r, r̂) over clicks: the naive, selection-biased CVR loss."""
    return over_clicks(cvr_errors(prediction, batch), batch)


def ctr_loss(prediction: Prediction, batch: Batch) -> Tensor:
    """Return the mean of e(o, ô) over impressions, 0 where the dataset has only clicks."""
    if batch.click is None:
        return batch.conversion.new_zeros(())
    return _ctr(prediction).cross_entropy(batch.click).mean()


def path_loss(prediction: Prediction, batch: Batch, stage: PostClick) -> Tensor:
    """Return the mean over impressions of e(o · label, ô · step) for a stage after the click.

    Where the dataset consists of clicks, it is the mean of e(label, step): the click is given.
    """
    step = prediction.cvr if stage == "conversion" else getattr(prediction, stage)
    label = getattr(batch, stage)
    if step is None or label is None:
        raise ValueError(f"no {stage} in the prediction or in the dataset")
    if batch.click is None:
        return step.cross_entropy(label).mean()
    return (_ctr(prediction) & step).cross_entropy(batch.click * label).mean()


def ctcvr_loss(prediction: Prediction, batch: Batch) -> Tensor:
    """Return the mean over impressions of e(o · r, ô · r̂); its gradient reaches ô too."""
    return path_loss(prediction, batch, "conversion")


def click_weights(prediction: Prediction, batch: Batch, floor: float) -> Tensor:
    """Return o / max(ô, floor): inverse propensities of clicks, 0 elsewhere, without gradient."""
    return _clicks(batch) / _floored(_ctr(prediction).log, floor)


def no_click_weights(prediction: Prediction, batch: Batch, floor: float) -> Tensor:
    """Return (1 - o) / max(1 - ô, floor): the same for what was not clicked, 0 on clicks."""
    return (1 - _clicks(batch)) / _floored(_ctr(prediction).log_not, floor)


def ips_loss(prediction: Prediction, batch: Batch, floor: float) -> Tensor:
    """Return the mean of o · e(r, r̂) / ô over impressions (Horvitz-Thompson normalisation).

    Unbiased for the mean of e(r, r̂) over impressions, clicked or not, if the propensities are
    right and above the floor.
    """
    return (click_weights(prediction, batch, floor) * cvr_errors(prediction, batch)).mean()


def self_normalised(weights: Tensor) -> Tensor:
    """Return non-negative weights (B,) divided by their sum; all 0 stay 0."""
    return weights / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)


def snips_loss(prediction: Prediction, batch: Batch, floor: float) -> Tensor:
    """Return the sum of o · e(r, r̂) / ô over that of o / ô, 0 if nothing was clicked.

    Consistent for the mean of e(r, r̂) over impressions if the propensities are right up to a
    common factor; on a finite batch its bias is of the order of one over the number of clicks.
    """
    weights = self_normalised(click_weights(prediction, batch, floor))
    return (weights * cvr_errors(prediction, batch)).sum()


def doubly_robust_risk(errors: Tensor, imputed: Tensor, inverse: Tensor) -> Tensor:
    """Return the mean of ê + u (e - ê) over impressions, where ê keeps its gradient.

    The errors e, imputed errors ê and inverse propensities u are tensors (B,). It is unbiased for
    the mean error if the propensities or the imputed errors are right.
    """
    return (imputed + inverse * (errors - imputed)).mean()


def dr_loss(
    prediction: Prediction, batch: Batch, floor: float, pseudo_label: Tensor | None = None
) -> Tensor:
    """Return the mean of δ̂ + o · (e(r, r̂) - δ̂) / ô over impressions, the doubly robust risk.

    Unbiased if the propensities or the imputed errors δ̂ are right. δ̂ is a constant here, or the
    risk could be lowered by imputing badly: the gradient equals that of :func:`ips_loss`. With an
    imputed ``pseudo_label`` r̃ (B,), only that is a constant: δ̂ = e(r̃, r̂) teaches r̂ on unclicked
    impressions too.
    """
    errors = cvr_errors(prediction, batch)
    if pseudo_label is None:
        imputed = _present(prediction.imputed_error, "imputed error").detach()
    else:
        imputed = prediction.cvr.cross_entropy(pseudo_label.detach())
    return doubly_robust_risk(errors, imputed, click_weights(prediction, batch, floor))


def imputation_loss(prediction: Prediction, batch: Batch, floor: float) -> Tensor:
    """Return the mean of o · (e(r, r̂) - δ̂)² / ô over impressions; e is a constant here."""
    errors = cvr_errors(prediction, batch).detach()
    imputed = _present(prediction.imputed_error, "imputed error")
    return (click_weights(prediction, batch, floor) * (errors - imputed).square()).mean()


def _ctr(prediction: Prediction) -> Probability:
    return _present(prediction.ctr, "CTR")


def _clicks(batch: Batch) -> Tensor:
    if batch.click is None:
        raise ValueError("propensities need impressions, but this dataset consists of clicks")
    return batch.click


def _present(predicted: T | None, name: str) -> T:
    if predicted is None:
        raise ValueError(f"this loss needs a method that predicts the {name}")
    return predicted


def _floored(log: Tensor, floor: float) -> Tensor:
    return log.detach().exp().clamp_min(floor)
