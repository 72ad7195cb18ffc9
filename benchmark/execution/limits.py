"""A limit on the time that a fit may take."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.errors import BenchmarkError

AGAIN = 10.0  # seconds until what swallowed the error is interrupted once more


class TimeLimitError(BenchmarkError, TimeoutError):
    """A fit took longer than ``launch.time_limit``; this is no fault of the method's file."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """End the block by an error in its midst once it took so many seconds.

    Python hears of it between two of its own operations: a call of a library that never returns is
    not ended. Nothing is limited outside of the main thread, in which workers do their fits, or on
    a system without alarms.

    Raises:
        TimeLimitError: the time is over.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if seconds is None or not is_main or not hasattr(signal, "SIGALRM"):
        yield
        return

    def end(*_: object) -> None:
        raise TimeLimitError(
            f"it took longer than {seconds / 60:g} minutes, the launch.time_limit of a fit; raise "
            "that, or find out why the method hangs"
        )

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
