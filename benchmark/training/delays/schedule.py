"""Delayed feedback: when a click is trained on, and what is known of its conversion by then.

Training data end with the last click of the train split: nothing later is known. A label
schedule says which clicks arrive, and how long after they were made; what is known then follows
from their delays alone, so that no label can come from the future. Schedules that run through time
begin one attribution window after the first click: from there on, if nothing drifts, as many
conversions of earlier clicks arrive as will arrive of later ones after the end.

All times are counted in attribution windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Clicks:
    """When each click was made, (N,), and how long its conversion took, inf without one."""

    time: Tensor
    delay: Tensor

    def to(self, device: torch.device) -> Clicks:
        """Return them on a device."""
        return Clicks(self.time.to(device), self.delay.to(device))


@dataclass(frozen=True)
class Arrivals:
    """Which ``click`` arrives, (M,), at what ``time``, and how much has ``elapsed`` since it."""

    click: Tensor
    time: Tensor
    elapsed: Tensor


Schedule = Callable[[Clicks], Arrivals]


def at_the_end(clicks: Clicks) -> Arrivals:
    """Let every click arrive once, when training data end."""
    numbers = torch.arange(len(clicks.time), device=clicks.time.device)
    end = clicks.time.max()
    return Arrivals(numbers, end.expand(len(numbers)), end - clicks.time)


def waiting(clicks: Clicks, wait: float) -> Arrivals:
    """Let every click arrive once, ``wait`` after it was made."""
    return _running(clicks, _first(clicks, wait))


def revising(clicks: Clicks, wait: float) -> Arrivals:
    """Let it arrive after ``wait``, and those that convert later again when they do."""
    return _running(clicks, _first(clicks, wait), _late(clicks, wait))


def settling(clicks: Clicks, wait: float) -> Arrivals:
    """Let it arrive after ``wait``, and again when it converts later, else with its window's end.

    Every click then arrives twice, the second time with its final label.
    """
    late, delay = _late(clicks, wait)
    rest = (~late, torch.ones_like(delay))
    return _running(clicks, _first(clicks, wait), (late, delay), rest)


Visit = tuple[Tensor, Tensor]  # whether a click arrives, and after how long


def _first(clicks: Clicks, wait: float) -> Visit:
    return torch.ones_like(clicks.time, dtype=torch.bool), torch.full_like(clicks.time, wait)


def _late(clicks: Clicks, wait: float) -> Visit:
    return (clicks.delay > wait) & clicks.delay.isfinite(), clicks.delay


def _running(clicks: Clicks, *visits: Visit) -> Arrivals:
    """Keep what arrives from one window after the first click on, and up to the last one."""
    click = torch.cat([comes.nonzero().squeeze(1) for comes, _ in visits])
    elapsed = torch.cat([after[comes] for comes, after in visits])
    time = clicks.time[click] + elapsed
    kept = (time >= clicks.time.min() + 1) & (time <= clicks.time.max())
    return Arrivals(click[kept], time[kept], elapsed[kept])
