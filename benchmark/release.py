"""What the project is called and which release it is, as ``pyproject.toml`` says."""

from __future__ import annotations

import tomllib
from pathlib import Path


def release(root: Path) -> tuple[str, str] | None:
    """Return name and version of the project in a folder; None if the folder does not tell them."""
    path = root / "pyproject.toml"
    if not path.is_file():
        return None
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    return project["name"], project["version"]
