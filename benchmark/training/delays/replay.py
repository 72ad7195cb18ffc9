"""The clicks of a table in the order in which a schedule lets them arrive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmark.training.batch import Batch
from benchmark.training.delays.schedule import Clicks, Schedule
from benchmark.training.table import Table


@dataclass(frozen=True)
class Replay:
    """Arrivals: the ``row`` of a table, the ``time`` and how much has ``elapsed``, each (M,).

    The label on arrival is whether the conversion has happened by then. Times of behaviours
    before the conversion are not logged, so these are left out.
    """

    table: Table
    row: Tensor
    time: Tensor
    elapsed: Tensor

    @classmethod
    def of(cls, table: Table, schedule: Schedule) -> Replay:
        """Arrange a table's clicks; it must have times.

        Raises:
            ValueError: too little arrives for a batch.
        """
        assert table.clicks is not None
        rows = table.clicks.time.isfinite().nonzero().squeeze(1)
        clicks = Clicks(table.clicks.time[rows], table.clicks.delay[rows])
        arrivals = schedule(clicks)
        if len(arrivals.click) < 2:
            raise ValueError(
                f"{len(arrivals.click)} clicks arrive; training data must last longer than the "
                "attribution window and the wait together"
            )
        return cls(table, rows[arrivals.click], arrivals.time, arrivals.elapsed)

    def __len__(self) -> int:
        return len(self.row)

    def order(self, generator: torch.Generator) -> Tensor:
        """Return the arrivals' numbers by time; what arrives at once is shuffled."""
        shuffled = torch.randperm(len(self), generator=generator).to(self.time.device)
        return shuffled[self.time[shuffled].argsort(stable=True)]

    def batches(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield the batches with the given arrivals' numbers."""
        return map(self.take, order)

    def take(self, numbers: Tensor) -> Batch:
        """Return the batch with the given arrivals' numbers (B,)."""
        assert self.table.clicks is not None
        row, elapsed = self.row[numbers], self.elapsed[numbers]
        delay = self.table.clicks.delay[row]
        batch = self.table.take(row)
        precision = batch.conversion.dtype
        return replace(
            batch,
            conversion=(delay <= elapsed).to(precision),
            micro=None,
            macro=None,
            elapsed=elapsed.to(precision),
            delay=delay.minimum(elapsed).to(precision),
        )


def arrange(table: Table, schedule: Schedule | None) -> Table | Replay:
    """Return the table itself, whose rows all have their final labels, or its replay."""
    return table if schedule is None else Replay.of(table, schedule)
