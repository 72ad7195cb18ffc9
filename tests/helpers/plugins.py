"""Methods as classes and as modules, for tests that look at all of them or into one."""

from __future__ import annotations

import sys
from types import ModuleType

from benchmark import registry
from benchmark.training.method import Method


def methods_that_load() -> dict[str, type[Method]]:
    """Return all methods by name; why one is absent is for the tests of its file to say."""
    found = {}
    for name in registry.names("methods"):
        try:
            found[name] = registry.load("methods", name, Method)
        except Exception:  # noqa: BLE001 (whatever a new file holds)
            continue
    return found


def method_module(name: str) -> ModuleType:
    """Return the module of a method's file."""
    registry.load("methods", name, Method)
    return sys.modules[f"benchmark_plugins.methods.{name}"]
