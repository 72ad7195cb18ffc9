"""What is not defined is left out, with the reason, and never 0."""

from __future__ import annotations


class UndefinedError(ValueError):
    """A metric has no value on the given rows; the message says why."""
