"""What the project is called and which release it is."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

PACKAGE = "cvr-debiasing-benchmark"


def release(root: Path) -> tuple[str, str] | None:
    """Return name and version, as ``pyproject.toml`` in a folder or else the package says.

    It is None where there is neither.
    """
    path = root / "pyproject.toml"
    if path.is_file():
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        return project["name"], project["version"]
    try:
        return PACKAGE, importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
