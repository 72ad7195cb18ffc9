"""What DVC would run, asked in this process: starting its command takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import yaml
from dvc.repo import Repo


@contextmanager
def repository(folder: Path) -> Iterator[Repo]:
    """Open the pipeline of a copy of the project, which is then the working folder."""
    with chdir(folder), Repo() as repo:
        yield repo


def planned(folder: Path, *targets: str) -> set[str]:
    """Return the stages that ``dvc repro`` of the targets, or of all stages, would run."""
    with repository(folder) as repo:
        return {stage.name for stage in repo.reproduce(list(targets) or None, dry=True)}


def whole_params(pipeline: Path) -> list[tuple[str, ...]]:
    """Return the files of params that each stage of a pipeline depends on, with all their keys."""
    stages = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"].values()
    listed = [one for stage in stages for one in [stage.get("do", stage)["params"]]]
    for files in listed:
        assert all(keys is None for file in files for keys in file.values()), "a choice of keys"
    return [tuple(name for file in files for name in file) for files in listed]
