"""The contract of ``methods/``: what a method declares, and what the trainer asks of it."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from optuna.distributions import BaseDistribution
from torch import Tensor, nn

from benchmark import bibliography, registry
from benchmark.schema import Need, Schema
from benchmark.training.batch import Batch, Features, Prediction
from benchmark.training.blueprint import Blueprint
from benchmark.training.delays.schedule import Schedule
from benchmark.training.hyperparameters import collect


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


def _file(method: type[Method]) -> str:
    """Return the file of a method for messages."""
    return registry.shown(Path(str(sys.modules[method.__module__].__file__)))


class _Citation:
    """The BibTeX entry that a class cites, read where it is asked for."""

    def __get__(self, _: object, method: type[Method]) -> str:
        """Return it; an unknown key is a ``LookupError``."""
        return bibliography.entry("methods", method.cite, _file(method))


class Method(nn.Module, ABC):
    """A way to learn the CVR from biased clicks.

    A subclass sets ``name``, ``cite`` (the key of its paper in ``methods/references.bib``) and
    ``requires`` (the funnel stages, or times, without which it has no meaning), declares its
    hyper-parameters by :func:`~benchmark.method.tuned`, makes its layers in :meth:`build`, and
    implements :meth:`forward` and :meth:`loss`. A hyper-parameter with the name of one that all
    methods share, such as the learning rate, takes its place.

    ``backbone`` is the encoder that all methods share. ``search_space`` and ``defaults`` follow
    from the declarations, and ``citation`` is the cited entry.

    ``fit`` is for methods that descend no gradient, such as boosted trees. It is called once
    per epoch in place of ``start_epoch`` and ``updates``, with all training rows as one batch
    and the run's seed, and returns its work in the unit of theirs: rows × gradients taken of
    each, of which a tree takes one. Validation, early stopping and the return to the best
    epoch, through the state dict, stay the trainer's. Such a method has no encoder.
    """

    name: ClassVar[str]
    cite: ClassVar[str]
    requires: ClassVar[frozenset[Need]] = frozenset()
    search_space: ClassVar[Mapping[str, BaseDistribution]] = {}
    defaults: ClassVar[Mapping[str, Any]] = {}
    citation = _Citation()
    fit: Callable[[Batch, int], int] | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.search_space, cls.defaults = collect(cls)

    def __init__(self, blueprint: Blueprint, **hyperparameters: Any) -> None:
        """Set the hyper-parameters, those not given to their defaults, and make the layers.

        Raises:
            ValueError: a hyper-parameter that the method does not have.
        """
        super().__init__()
        if unknown := sorted(hyperparameters.keys() - self.search_space.keys()):
            known = ", ".join(self.search_space) or "none"
            raise ValueError(f"{self.name} has no hyper-parameter {unknown[0]!r}; it has {known}")
        for name, value in {**self.defaults, **hyperparameters}.items():
            setattr(self, name, value)
        if self.fit is None:
            self.backbone = blueprint.backbone()
        self.build(blueprint)

    def build(self, blueprint: Blueprint) -> None:
        """Make the layers; hyper-parameters and the encoder are set."""

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

        None stands for all rows, in random order, with final labels: on data with delays, those
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
        """Return why the method cannot be run on a dataset, or None if it can."""
        lacking = sorted((cls.requires | {"conversion"}) - schema.offers)
        return f"needs {' and '.join(lacking)}, which this dataset lacks" if lacking else None


class Cvr(Method):
    """One tower on the encoding, for the CVR alone, whatever the loss."""

    requires = frozenset({"click"})

    def build(self, blueprint: Blueprint) -> None:
        """Make the tower."""
        self.towers = blueprint.towers(1, self.backbone.width)

    def forward(self, features: Features) -> Prediction:
        """Predict the CVR."""
        (cvr,) = self.towers.probabilities(self.backbone(features))
        return Prediction(cvr=cvr)


class CtrCvr(Method):
    """Two towers on one encoding, for the CTR and the CVR: the network of ESMM, whatever the loss.

    A subclass that encodes otherwise replaces :meth:`build`, which makes ``towers``, and
    :meth:`encode`.
    """

    requires = frozenset({"impression", "click"})

    def build(self, blueprint: Blueprint) -> None:
        """Make the towers."""
        self.towers = blueprint.towers(2, self.backbone.width)

    def encode(self, features: Features) -> Tensor:
        """Return what the towers read: (B, width), or (2, B, width) where each has its own."""
        return self.backbone(features)

    def heads(self, encoding: Tensor) -> Prediction:
        """Predict CTR and CVR from what :meth:`encode` returned."""
        ctr, cvr = self.towers.probabilities(encoding)
        return Prediction(ctr=ctr, cvr=cvr)

    def forward(self, features: Features) -> Prediction:
        """Predict CTR and CVR."""
        return self.heads(self.encode(features))
