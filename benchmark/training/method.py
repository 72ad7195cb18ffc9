"""The contract of ``methods/``: what a method declares, and what the trainer asks of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from optuna.distributions import BaseDistribution
from torch import Tensor, nn

from benchmark.schema import Need, Schema
from benchmark.training.batch import Batch, Features, Prediction
from benchmark.training.blueprint import Blueprint
from benchmark.training.delays.schedule import Schedule


@dataclass(frozen=True)
class Update:
    """One optimisation step: descend ``loss`` in the parameters of ``module`` only."""

    loss: Tensor
    module: nn.Module


@dataclass(frozen=True)
class Phase:
    """Passes over the data before the selected training: a teacher, a propensity model."""

    epochs: int
    updates: Callable[[Batch], Iterator[Update]]
    schedule: Schedule | None = None


class Method(nn.Module, ABC):
    """A way to learn the CVR from biased clicks.

    A subclass sets ``name``, ``citation`` (BibTeX), ``requires`` (funnel stages, or times, without
    which it has no meaning) and ``search_space`` (one distribution per keyword argument of its
    constructor, whose defaults are the published values), and implements :meth:`forward` and
    :meth:`loss`. A distribution named as one that all methods share takes its place.

    ``fit`` is for methods that descend no gradient, such as boosted trees. It is called once
    per epoch in place of ``start_epoch`` and ``updates``, with all training rows as one batch
    and the run's seed, and returns its work in the unit of theirs: rows × gradients taken of
    each, of which a tree takes one. Validation, early stopping and the return to the best
    epoch, through the state dict, stay the trainer's. Such a method needs no encoder.
    """

    name: ClassVar[str]
    citation: ClassVar[str]
    requires: ClassVar[frozenset[Need]] = frozenset()
    search_space: ClassVar[Mapping[str, BaseDistribution]] = {}
    fit: Callable[[Batch, int], int] | None = None

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__()
        self.backbone = blueprint.backbone()

    @abstractmethod
    def forward(self, features: Features) -> Prediction:
        """Predict from features alone, never from labels."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar to minimise on one batch."""

    def updates(self, batch: Batch) -> Iterator[Update]:
        """Yield the steps of one batch; each is taken before the next one is computed."""
        yield Update(self.loss(batch), self)

    def warm_up(self) -> Sequence[Phase]:
        """Return what precedes the selected training; its work is counted like any other."""
        return ()

    def schedule(self) -> Schedule | None:
        """Return when clicks are trained on, in that order and with the labels known then.

        None stands for all rows, in random order, with final labels: on a log with delays, those
        exist only one attribution window after training data end.
        """
        return None

    def start_epoch(self) -> None:
        """Prepare for the next pass, in any phase: copy a network, reset running sums."""

    @classmethod
    def takes_plain_steps(cls) -> bool:
        """Tell whether training is nothing but the descent of :meth:`loss`, batch by batch."""
        others = ("updates", "warm_up", "schedule", "start_epoch", "fit")
        return all(getattr(cls, name) is getattr(Method, name) for name in others)

    @classmethod
    def missing(cls, schema: Schema) -> str | None:
        """Return why the method cannot be run on a log, or None if it can."""
        lacking = sorted((cls.requires | {"conversion"}) - schema.offers)
        return f"needs {' and '.join(lacking)}, which this log lacks" if lacking else None
