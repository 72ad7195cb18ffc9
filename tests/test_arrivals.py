"""What arrives when, with which label, and that it knows nothing of what comes later."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from helpers.streams import arriving, table_of, world

from benchmark.training.batch import Batch
from benchmark.training.delays.replay import Replay
from benchmark.training.delays.schedule import (
    Clicks,
    Schedule,
    at_the_end,
    revising,
    settling,
    waiting,
)
from benchmark.training.table import Table

WAIT = 0.25
SCHEDULES: dict[str, Schedule] = {
    "waiting": partial(waiting, wait=WAIT),
    "revising": partial(revising, wait=WAIT),
    "settling": partial(settling, wait=WAIT),
    "at the end": at_the_end,
}
every_schedule = pytest.mark.parametrize("name", SCHEDULES)


def listed(batch: Batch, clicks: Clicks) -> list[tuple[float, int, float]]:
    """Return time, row and label of each arrival."""
    assert batch.elapsed is not None
    row = batch.features.sparse[:, 0].long()
    time = clicks.time[row] + batch.elapsed
    return [
        (round(t, 6), r, label)
        for t, r, label in zip(time.tolist(), row.tolist(), batch.conversion.tolist(), strict=True)
    ]


def delays_of(batch: Batch) -> list[float]:
    assert batch.delay is not None
    return batch.delay.tolist()


FIVE = Clicks(
    torch.tensor([0.0, 1.2, math.nan, 2.0, 2.5, 4.0], dtype=torch.float64),  # the third: no click
    torch.tensor([0.5, math.inf, math.inf, 0.1, 0.9, math.inf], dtype=torch.float64),
)
EXPECTED = {
    "waiting": [(1.45, 1, 0), (2.25, 3, 1), (2.75, 4, 0)],
    "revising": [(1.45, 1, 0), (2.25, 3, 1), (2.75, 4, 0), (3.4, 4, 1)],
    "settling": [(1.45, 1, 0), (2.2, 1, 0), (2.25, 3, 1), (2.75, 4, 0), (3.0, 3, 1), (3.4, 4, 1)],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_five_clicks_arrive_as_counted_by_hand(name: str) -> None:
    assert listed(arriving(FIVE, SCHEDULES[name]), FIVE) == EXPECTED[name]


def test_at_the_end_every_click_is_there_once_in_random_order() -> None:
    batch = arriving(FIVE, at_the_end)
    found = listed(batch, FIVE)
    assert found != sorted(found)
    assert sorted(found) == [(4, 0, 1), (4, 1, 0), (4, 3, 1), (4, 4, 1), (4, 5, 0)]
    seen = dict(zip(batch.features.sparse[:, 0].tolist(), delays_of(batch), strict=True))
    assert seen == pytest.approx({0: 0.5, 1: 2.8, 3: 0.1, 4: 0.9, 5: 0})


def test_without_a_wait_all_arrive_as_negatives_first() -> None:
    batch = arriving(FIVE, partial(revising, wait=0.0))
    assert listed(batch, FIVE) == [
        (1.2, 1, 0), (2, 3, 0), (2.1, 3, 1), (2.5, 4, 0), (3.4, 4, 1), (4, 5, 0)
    ]  # fmt: skip


@every_schedule
@pytest.mark.parametrize("now", [2.5, 3.7, 5.0])
def test_what_arrives_knows_nothing_of_later(name: str, now: float) -> None:
    clicks = world(2000, cvr=0.5, mean=0.3)
    untold = torch.where(clicks.time + clicks.delay > now, torch.inf, clicks.delay)
    known, less = (
        [
            (*arrival, delay)
            for arrival, delay in zip(listed(batch, clicks), delays_of(batch), strict=True)
            if arrival[0] <= now
        ]
        for batch in (
            arriving(Clicks(clicks.time, delay), SCHEDULES[name])
            for delay in (clicks.delay, untold)
        )
    )
    assert known == less
    assert bool(known) == (name != "at the end")


@every_schedule
def test_behaviours_before_the_conversion_have_no_times_and_are_left_out(name: str) -> None:
    table = table_of(FIVE)
    labels = torch.cat([table.labels, table.labels], 1)
    full = Table(table.sparse, table.dense, labels, ("click", "conversion", "micro", "macro"),
                 clicks=FIVE)  # fmt: skip
    stream = Replay.of(full, SCHEDULES[name])
    batch = stream.take(torch.arange(len(stream)))
    assert batch.micro is None
    assert batch.macro is None
    assert batch.clicked.all()


@pytest.mark.parametrize(("time", "arrive"), [([0.0, 1.0], 0), ([0.0, 1.0, 2.0], 1)])
def test_too_short_a_log_is_refused(time: list[float], arrive: int) -> None:
    clicks = Clicks(torch.tensor(time), torch.full((len(time),), torch.inf))
    with pytest.raises(ValueError, match=f"{arrive} clicks arrive; training data must last longer"):
        Replay.of(table_of(clicks), partial(waiting, wait=0.3))
