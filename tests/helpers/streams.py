"""Clicks with times, and what arrives of them."""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from benchmark.training.batch import Batch
from benchmark.training.delays.replay import Replay
from benchmark.training.delays.schedule import Clicks, Schedule
from benchmark.training.table import Table


def table_of(clicks: Clicks) -> Table:
    """Return a table of rows that are numbered by their first field."""
    rows = len(clicks.time)
    ids = torch.arange(rows, dtype=torch.int32).unsqueeze(1).expand(rows, 2)
    labels = torch.stack([clicks.time.isfinite(), clicks.delay.isfinite()], 1).double()
    return Table(ids, torch.zeros(rows, 1), labels, ("click", "conversion"), clicks=clicks)


def arriving(clicks: Clicks, schedule: Schedule) -> Batch:
    """Return all that arrives, in order, as one batch."""
    stream = Replay.of(table_of(clicks), schedule)
    return stream.take(stream.order(torch.Generator().manual_seed(0)))


@lru_cache
def world(rows: int, cvr: float, mean: float) -> Clicks:
    """Return clicks at an even pace over six attribution windows."""
    generator = torch.Generator().manual_seed(5)
    time = 6 * torch.rand(rows, generator=generator, dtype=torch.float64)
    converts, share = torch.rand(2, rows, generator=generator, dtype=torch.float64).unbind(0)
    delay = -mean * torch.log1p(share * math.expm1(-1 / mean))
    return Clicks(time, torch.where(converts < cvr, delay.clamp_max(1), torch.inf))
