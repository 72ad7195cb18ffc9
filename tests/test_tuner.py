"""The search: the same budget, the published defaults first, replayable, deaf to divergence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from benchmark import registry
from benchmark.config import Protocol
from benchmark.training.method import Method
from benchmark.training.search import defaults, search_space, tune
from benchmark.training.trainer import DivergedError

METHOD = registry.load("methods", "hm3", Method)


class Recorder:
    """An objective with a known optimum that writes down what it was asked."""

    def __init__(self, *, fails: bool = False) -> None:
        self.asked: list[tuple[int, dict[str, Any]]] = []
        self.fails = fails

    def __call__(self, first: int, batch: Sequence[dict[str, Any]]) -> list[float | None]:
        self.asked += [(first + i, dict(point)) for i, point in enumerate(batch)]
        return [None if self.fails else -abs(p["learning_rate"] - 2e-3) for p in batch]


def test_the_first_trial_is_the_published_default_and_the_budget_is_exact(
    protocol: Protocol,
) -> None:
    objective = Recorder()
    best = tune(METHOD, protocol, objective)
    numbers = [number for number, _ in objective.asked]
    points = [point for _, point in objective.asked]
    assert numbers == list(range(protocol.tuning.trials))
    assert points[0] == defaults(METHOD, protocol)
    assert best == max(points, key=lambda p: -abs(p["learning_rate"] - 2e-3))
    assert set(points[0]) == set(search_space(METHOD, protocol))


def test_asking_again_asks_the_same(protocol: Protocol) -> None:
    first, second = Recorder(), Recorder()
    tune(METHOD, protocol, first)
    tune(METHOD, protocol, second)
    assert first.asked == second.asked


def test_later_batches_learn_from_earlier_ones(protocol: Protocol) -> None:
    other = Recorder()
    tune(METHOD, protocol, other)

    class Opposite(Recorder):
        def __call__(self, first: int, batch: Sequence[dict[str, Any]]) -> list[float | None]:
            super().__call__(first, batch)
            return [abs(p["learning_rate"] - 2e-3) for p in batch]

    opposite = Opposite()
    tune(METHOD, protocol, opposite)
    size = protocol.tuning.batch
    assert opposite.asked[:size] == other.asked[:size]
    assert opposite.asked[size:] != other.asked[size:]


def test_diverged_trials_are_passed_over_but_not_all_may_diverge(protocol: Protocol) -> None:
    with pytest.raises(DivergedError, match="all 5 trials of HM3 diverged"):
        tune(METHOD, protocol, Recorder(fails=True))

    class FirstFails(Recorder):
        def __call__(self, first: int, batch: Sequence[dict[str, Any]]) -> list[float | None]:
            values = super().__call__(first, batch)
            return [None if first + i == 0 else value for i, value in enumerate(values)]

    objective = FirstFails()
    assert tune(METHOD, protocol, objective) != objective.asked[0][1]


def test_without_trials_the_published_defaults_are_taken(protocol: Protocol) -> None:
    none = protocol.tuning.model_copy(update={"trials": 0})
    objective = Recorder()
    found = tune(METHOD, protocol.model_copy(update={"tuning": none}), objective)
    assert found == defaults(METHOD, protocol)
    assert not objective.asked
