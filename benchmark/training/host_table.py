"""Tables that do not fit on their device: rows come from host memory while others are trained on.

A helper thread gathers the rows of the next batches into pinned memory and has them copied on a
stream of its own; the device waits for that copy, the host for nothing. Batches are the same,
in the same order, as those of a table on the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmark.training.batch import Batch, Features
from benchmark.training.table import Table

HOST = torch.device("cpu")
SHARE = 0.5  # of the free memory of a device that a table may take
CHUNK = 1 << 18  # rows on their way at a time


@dataclass(frozen=True)
class HostTable(Table):
    """A table in host memory whose batches are on ``device``."""

    device: torch.device = HOST

    def features(self, rows: slice) -> Features:
        """Return the inputs of consecutive rows."""
        features = super().features(rows)
        sequences = None if features.sequences is None else features.sequences.to(self.device)
        return Features(features.sparse.to(self.device), features.dense.to(self.device), sequences)

    def take(self, rows: Tensor) -> Batch:
        """Return one batch, for which the host waits too."""
        here = rows.to(self.sparse.device)
        return self.of(part.index_select(0, here).to(self.device) for part in self.tensors)

    def batches(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield the batches with the given row numbers, while the next ones are on their way."""
        count = max(1, CHUNK // max(map(len, order), default=1))
        chunks = [order[start : start + count] for start in range(0, len(order), count)]
        if not chunks:
            return
        prefetcher = Prefetcher(self.device)
        with ThreadPoolExecutor(1) as helper:
            ahead = helper.submit(prefetcher.send, self.tensors, chunks[0])
            for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
                parts = prefetcher.receive(ahead.result())
                if following is not None:
                    ahead = helper.submit(prefetcher.send, self.tensors, following)
                sizes = [len(rows) for rows in chunk]
                yield from map(self.of, zip(*(part.split(sizes) for part in parts), strict=True))


Sent = tuple[list[Tensor], Any]


class Prefetcher:
    """The way from host memory to a device: for CUDA through pinned memory, on its own stream."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.cuda = device, device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if self.cuda else None

    def send(self, tensors: Sequence[Tensor], chunk: Sequence[Tensor]) -> Sent:
        """Gather the rows of a chunk of batches and start copying them."""
        rows = torch.cat(list(chunk))
        gathered = [self._gathered(part, rows) for part in tensors]
        with torch.cuda.stream(self.stream):  # nothing where there is none
            copies = [part.to(self.device, non_blocking=True) for part in gathered]
            return copies, self.stream.record_event() if self.stream else None

    def receive(self, sent: Sent) -> list[Tensor]:
        """Let the device wait for what was sent, and return it."""
        parts, arrival = sent
        if arrival is not None:
            here = torch.cuda.current_stream(self.device)
            here.wait_event(arrival)
            for part in parts:
                part.record_stream(here)
        return parts

    def _gathered(self, part: Tensor, rows: Tensor) -> Tensor:
        shape = (len(rows), *part.shape[1:])
        pinned = torch.empty(shape, dtype=part.dtype, pin_memory=self.cuda)
        return torch.index_select(part, 0, rows, out=pinned)


def on_device(table: Table, device: torch.device) -> Table:
    """Return a table on a device, or in host memory if it would take too much of the device."""
    if device.type != "cuda":
        return table.to(device)
    free, _ = torch.cuda.mem_get_info(device)
    if sum(part.nbytes for part in table.tensors) <= SHARE * free:
        with suppress(torch.cuda.OutOfMemoryError):  # another process took it meanwhile
            return table.to(device)
    return in_host_memory(table, device)


def in_host_memory(table: Table, device: torch.device) -> HostTable:
    """Return a table whose rows stay in host memory; when clicks were made is on the device."""
    clicks = table.clicks and table.clicks.to(device)
    return HostTable(
        table.sparse, table.dense, table.labels, table.names, table.sequences, clicks, device
    )
