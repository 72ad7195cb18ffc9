"""Folders with ``methods/`` and ``datasets/`` of a group, beside the project's own.

They are named under ``plugins`` in ``params.yaml``. The environment holds them, so that the
processes that this one starts search them too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

VARIABLE = "CVR_PLUGINS"
KINDS = ("methods", "datasets")


def added() -> list[Path]:
    """Return the folders that are searched before the project's own, in this order."""
    return [Path(folder) for folder in json.loads(os.environ.get(VARIABLE, "[]"))]


def add(folders: Iterable[str | Path]) -> None:
    """Search these folders too, in this process and in those that it starts from now on."""
    paths = [*added(), *(Path(folder).resolve() for folder in folders)]
    os.environ[VARIABLE] = json.dumps([*dict.fromkeys(map(str, paths))])


def fault(folder: Path, others: Iterable[Path]) -> str | None:
    """Return why a folder cannot be added beside others, as the end of a sentence."""
    kinds = [kind for kind in KINDS if (folder / kind).is_dir()]
    if not kinds:
        return "it must be a folder with methods/ or datasets/ in it"
    for kind in kinds:
        for path in sorted((folder / kind).glob("[!_]*.py")):
            for other in (other / kind / path.name for other in others):
                if other.is_file() and not other.samefile(path):
                    return f"its {kind}/{path.name} would hide {other}; rename it"
    return None
