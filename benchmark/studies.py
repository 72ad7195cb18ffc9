"""Studies: experiments with params, data and results of their own, apart from the benchmark's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from pydantic import PositiveInt

from benchmark.config import Params, Section

STUDIES = Path("studies")
BASE = "base"


def world_name(knob: str, level: float) -> str:
    """Return the name of the world whose knob is at a level."""
    return f"{knob}-{level:g}"


class Sweep(Section):
    """Worlds that differ from a dataset with its ``options`` in the level of one knob each.

    ``baselines`` are the methods that a better one must be told apart from to be worth its while,
    ``meanings`` say what a knob does.
    """

    dataset: str
    baselines: tuple[str, ...] = ()
    knobs: dict[str, tuple[int | float, ...]]
    meanings: dict[str, str] = {}

    def worlds(self) -> dict[str, dict[str, int | float]]:
        """Return the option that each world changes, none in the base, by name."""
        return {BASE: {}} | {
            world_name(knob, level): {knob: level}
            for knob, levels in self.knobs.items()
            for level in levels
        }


class Selection(Section):
    """Candidates among which criteria choose: so many per method, in each draw of each world.

    Each number in ``draws`` is the seed of a world, of its candidates and of their weights.
    """

    candidates: PositiveInt
    draws: tuple[int, ...]


class StudyParams(Params):
    """``params.yaml`` of the benchmark or of a study, with the sections that only studies use."""

    sweep: Sweep | None = None
    selection: Selection | None = None


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
    def sweep(self) -> Sweep:
        """The section of that name.

        Raises:
            LookupError: there is none.
        """
        if (found := self.params.sweep) is None:
            raise LookupError(f"{self.folder / 'params.yaml'} has no section `sweep`; name a study")
        return found

    @property
    def selection(self) -> Selection:
        """The section of that name.

        Raises:
            LookupError: there is none.
        """
        if (found := self.params.selection) is None:
            file = self.folder / "params.yaml"
            raise LookupError(f"{file} has no section `selection`; name a study that has")
        return found

    def tasks(self) -> list[tuple[str, Path, Path]]:
        """Return the method, the ready dataset and the folder of results of every task.

        Raises:
            LookupError: the study has candidates instead of tasks.
        """
        params = self.params
        if params.selection is not None:
            raise LookupError(f"{self.folder} trains candidates: `python -m benchmark candidates`")
        if params.sweep is None:
            pairs = product(params.datasets, params.methods)
            return [(m, self.processed / d, self.runs / d / m) for d, m in pairs]
        worlds = product(params.sweep.worlds(), params.methods)
        return [(m, self.processed / world, self.runs / m / world) for world, m in worlds]

    @property
    def raw(self) -> Path:
        """Raw files, by dataset."""
        return Path("data") / self.folder / "raw"

    @property
    def processed(self) -> Path:
        """Ready splits, by dataset."""
        return Path("data") / self.folder / "processed"

    @property
    def results(self) -> Path:
        """Tables and pictures, which are published."""
        return Path("results") / self.folder

    @property
    def runs(self) -> Path:
        """The record of every training, which is not."""
        return self.results / "runs"
