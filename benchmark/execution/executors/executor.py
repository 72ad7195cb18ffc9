"""The contract of a pool of workers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

ATTEMPTS = 3

A = TypeVar("A")
R = TypeVar("R")


class LostError(RuntimeError):
    """The workers that tried a piece of work all died."""

    def __init__(self, work: object, hint: str = "perhaps for lack of memory") -> None:
        super().__init__(f"{work}: {ATTEMPTS} workers died of it, {hint}; the rest is on record")


class Executor(Protocol):
    """Workers that share the file system with this process, as a context.

    Leaving it by an exception ends the workers and cancels what they had to do.
    """

    @property
    def remote(self) -> bool:
        """Whether they may differ from this machine, in their devices say."""

    def submit(self, function: Callable[[A], R], argument: A, /) -> Future[R]:
        """Give work to a worker; it may be begun several times, so it must be idempotent.

        The work of a worker that dies goes to another one, ``ATTEMPTS`` times in all; then the
        future holds a :class:`LostError`. Once the context is left, it is cancelled.
        """
