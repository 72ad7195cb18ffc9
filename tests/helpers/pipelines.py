"""What DVC would run, asked in this process: starting its command takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

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
