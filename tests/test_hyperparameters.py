"""Hyper-parameters are declared once: range, default, attribute and argument follow from that."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.worlds import blueprint, schema
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmark import registry
from benchmark.method import Batch, CtrCvr, Tensor, losses, tuned
from benchmark.training.method import Method


class Base(CtrCvr):
    """Every kind of declaration."""

    name = "Base"

    weight: float = tuned(1.0, low=0.1, high=10)
    share: float = tuned(0.5, low=0, high=1, log=False)
    whole_as_float: float = tuned(1, low=1, high=3)
    epochs: int = tuned(2, low=1, high=4, log=False)
    flag: bool = tuned(False, choices=(False, True))

    def loss(self, batch: Batch) -> Tensor:
        return self.weight * losses.ctr_loss(self(batch.features), batch)


class Child(Base):
    """Fixes one, declares one anew and adds one."""

    name = "Child"

    flag = True
    extra: int = tuned(3, low=2, high=20)
    weight: float = tuned(2.0, low=0.5, high=5)


class Other(Base):
    """Declares one anew and adds one."""

    name = "Other"

    weight: float = tuned(3.0, low=1, high=10)
    more: int = tuned(5, low=1, high=9)


class Both(Child, Other):
    """Inherits from two."""

    name = "Both"


def made(kind: type[Method], **hyperparameters: Any) -> Any:
    return kind(blueprint(schema()), **hyperparameters)


def test_the_search_space_follows_from_the_declarations_in_order() -> None:
    assert list(Base.search_space.items()) == [
        ("weight", FloatDistribution(0.1, 10, log=True)),
        ("share", FloatDistribution(0, 1)),
        ("whole_as_float", FloatDistribution(1, 3, log=True)),
        ("epochs", IntDistribution(1, 4)),
        ("flag", CategoricalDistribution((False, True))),
    ]
    assert list(Base.defaults) == list(Base.search_space)


def test_a_child_inherits_fixes_and_declares_anew() -> None:
    assert list(Child.search_space) == ["share", "whole_as_float", "epochs", "extra", "weight"]
    assert Child.search_space["weight"] == FloatDistribution(0.5, 5, log=True)
    assert Child.search_space["extra"] == IntDistribution(2, 20, log=True)
    assert Child.defaults["weight"] == 2.0
    assert list(Base.search_space) == ["weight", "share", "whole_as_float", "epochs", "flag"]


def test_several_bases_give_hyperparameters_in_the_order_in_which_they_give_attributes() -> None:
    assert Both.__mro__[:4] == (Both, Child, Other, Base)
    names = ["share", "whole_as_float", "epochs", "more", "extra", "weight"]
    assert list(Both.search_space) == list(Both.defaults) == names
    assert (Both.defaults["weight"], Both.weight, Both.flag) == (2.0, 2.0, True)
    assert (Both.defaults["more"], made(Both, more=7).more) == (5, 7)


def test_an_instance_has_each_value_as_an_attribute() -> None:
    method = made(Base, epochs=4, flag=True)
    assert (method.weight, method.share, method.epochs, method.flag) == (1.0, 0.5, 4, True)
    assert (Base.weight, Base.epochs) == (1.0, 2)
    assert (made(Child).flag, made(Child).weight) == (True, 2.0)


@pytest.mark.parametrize("unknown", ["wait", "flag"])
def test_a_hyperparameter_that_is_unknown_or_fixed_is_refused(unknown: str) -> None:
    message = f"Child has no hyper-parameter '{unknown}'; it has share, whole_as_float, epochs"
    with pytest.raises(ValueError, match=message):
        made(Child, **{unknown: 1})


def test_no_method_without_hyperparameters_takes_one() -> None:
    with pytest.raises(ValueError, match="Naive has no hyper-parameter 'x'; it has none"):
        made(registry.load("methods", "naive", Method), x=1)


def test_an_error_names_the_file_and_the_line() -> None:
    place = r"^tests/test_hyperparameters\.py, line \d+: weight has"
    with pytest.raises(registry.PluginError, match=place):
        type("Wrong", (Base,), {"weight": tuned(0.0, low=1.0, high=2.0)})
