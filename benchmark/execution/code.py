"""The code that a fit of a method depends on."""

from __future__ import annotations

from pathlib import Path

from benchmark import registry
from benchmark.code_keys import code_key

ENGINE = tuple(Path(__file__).with_name(f"{name}.py") for name in ("fitting", "candidates"))


def code_of(method: str) -> str:
    """Return the hash of a method's file, of what fits it, and of all that these import."""
    return code_key(*ENGINE, registry.path_of("methods", method))
