"""Copies of the project to change and run things in, and training without worker processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmark.config import Launch, Protocol
from benchmark.registry import ROOT


def copy_project(folder: Path, parts: Iterable[str], *left_out: str) -> None:
    """Copy files and folders of the project, but what matches a pattern."""
    for part in parts:
        source, target = ROOT / part, folder / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", *left_out))
        else:
            shutil.copy(source, target)


def train_here(patch: pytest.MonkeyPatch, module: str = "benchmark.execution.run") -> None:
    """Train in this process, where starting workers would cost more than it saves."""

    @contextmanager
    def no_executor(_: Launch, __: Protocol) -> Iterator[None]:
        yield None

    patch.setattr(f"{module}.connect", no_executor)
