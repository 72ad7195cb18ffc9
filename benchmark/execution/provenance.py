"""What a result depends on and where it came from."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmark import registry
from benchmark.config import Protocol
from benchmark.declarations import undeclared
from benchmark.execution.code import code_of
from benchmark.execution.fitting import resolve_device
from benchmark.files import fingerprint
from benchmark.release import release
from benchmark.schema import Schema
from benchmark.training.method import Method

LIBRARIES = ("torch", "lightgbm", "recbole", "numpy", "optuna", "polars", "scikit-learn")
SHOWN = ("title", "citation")  # in the record for readers; they change no number


def describe(
    schema: Schema,
    method_name: str,
    method: type[Method],
    protocol: Protocol,
    where: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what a result depends on and where it came from; ``key`` changes with the former.

    ``where`` is the :func:`environment` of the process that does the work. How many trials and
    replicates there are is no part of it: what is finished stays when there are to be more.

    Raises:
        PluginError: the method's name is no text, or its paper is unknown.
    """
    if fault := next(undeclared(method_name, method), None):
        raise registry.PluginError(fault)
    task: dict[str, Any] = {
        "dataset": schema.dataset,
        "method": method_name,
        "title": method.name,
        "citation": method.citation,
        "protocol": protocol.identity,
        "data": schema.fingerprint,
        "code": code_of(method_name),
        **where,
    }
    hashed = (f"{name}={task[name]}" for name in sorted(task) if name not in SHOWN)
    return task | {"key": fingerprint(hashed)}


def environment(device: str) -> dict[str, Any]:
    """Return what a result depends on of the process that works; a device it lacks is None."""
    return {
        "versions": {name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "device": _device_name(resolve_device(device)),
    }


def is_elsewhere(task: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two descriptions differ in their device alone."""
    differing = {name for name in task if task[name] != other.get(name)}
    return differing <= {"key", "device", *SHOWN}


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _device_name(device: torch.device) -> str | None:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device) if torch.cuda.is_available() else None
    return f"{device.type} ({platform.machine()})"


@lru_cache(maxsize=1)
def commit() -> str | None:
    """Return the commit of the checkout, with "+" if its code differs.

    Without Git it is that of which the source archive was made, or else the release; None if there
    is neither.
    """
    git = ["git", "-C", str(registry.ROOT)]
    code = ["benchmark", "datasets", "methods", "params.yaml", "studies/*/params.yaml"]
    try:
        revision = subprocess.run(
            [*git, "rev-parse", "--show-toplevel", "HEAD"], capture_output=True, check=True
        )
        top, head = revision.stdout.decode().split("\n")[:2]
        if Path(top).resolve() != registry.ROOT.resolve():  # unpacked in another project
            return _release()
        changes = [*git, "status", "--porcelain", "--", *code]
        state = subprocess.run(changes, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return _release()
    return head + ("+" if state.stdout else "")


def _release() -> str | None:
    """Return what a source archive says of itself: `git archive` writes its commit into it."""
    archived = registry.ROOT / ".git_archival.txt"
    if archived.is_file():
        text = archived.read_text(encoding="utf-8").strip()
        if re.fullmatch(r"[0-9a-f]{40,64}", text):
            return text
    named = release(registry.ROOT)
    return f"release {named[1]}" if named else None
