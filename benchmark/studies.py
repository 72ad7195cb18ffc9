"""Studies: experiments with params, data and results of their own, apart from the benchmark's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.params import Params

STUDIES = Path("studies")


class StudyParams(Params):
    """``params.yaml`` of the benchmark or of a study, with the sections that only studies use."""


@dataclass(frozen=True)
class Workspace:
    """Where params, data and results lie: a study's, or the benchmark's own without one."""

    study: str | None = None

    @property
    def folder(self) -> Path:
        """The folder of ``params.yaml`` and ``dvc.yaml``."""
        return STUDIES / self.study if self.study else Path()

    @property
    def params(self) -> StudyParams:
        """The benchmark's ``params.yaml``, with what the study's own changes in it.

        Raises:
            FileNotFoundError: there is no such study, or this is not the project root.
            pydantic.ValidationError: a key is missing, unknown or of the wrong kind.
        """
        if self.study and not self.folder.is_dir():
            known = ", ".join(sorted(path.parent.name for path in STUDIES.glob("*/params.yaml")))
            raise FileNotFoundError(
                f"no study {self.study!r} in studies/; known: {known or 'none'}"
            )
        own = [self.folder / "params.yaml"] if self.study else []
        return StudyParams.read(Path("params.yaml"), *own)

    @property
    def raw(self) -> Path:
        """Raw files, by dataset."""
        return Path("data") / self.folder / "raw"

    @property
    def ready(self) -> Path:
        """Ready splits, by dataset."""
        return Path("data") / self.folder / "ready"

    @property
    def results(self) -> Path:
        """Tables and pictures, which are published."""
        return Path("results") / self.folder

    @property
    def runs(self) -> Path:
        """The record of every training, which is not."""
        return self.results / "runs"
