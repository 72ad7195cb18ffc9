"""One grid for all experiments: settings × replicates × methods, with folders for each study."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr, model_validator

from benchmark import registry
from benchmark.config import Count, Name, Params, Section, Several
from benchmark.configuration.documents import Node, shortened
from benchmark.configuration.mistakes import WrongValueError, validated
from benchmark.schema import Schema
from benchmark.splits import schema_of

if TYPE_CHECKING:
    from benchmark.data.dataset import Dataset

STUDIES = Path("studies")
BASE = "base"
SHIFTS = 2_000_000_000  # ranges of seeds do not meet among so many, which fit 32 bits
TUNING_SEED = 1_000_000  # beyond the seed of any replicate: tuning draws are never reported


def setting_name(factor: str, level: float) -> str:
    """Return the name of the setting whose factor is at a level."""
    return f"{factor}-{level:g}"


def first_splits(folder: Path) -> Path:
    """Return where a setting's splits lie: those of its first replicate, if each has its own."""
    own = folder / "0"
    return own if (own / "schema.json").is_file() else folder


class Sensitivity(Section):
    """A sensitivity study: each setting changes the level of one factor of a simulated dataset.

    The base setting is the dataset with its ``options``.
    """

    renamed: ClassVar[Mapping[str, str]] = {"knobs": "write `factors`"}

    dataset: Name
    """The simulated dataset, by its file name in datasets/."""
    baselines: tuple[Name, ...] = ()
    """Methods, by file name, with the better of which the best one of each setting is compared."""
    factors: dict[str, Several[int | float]]
    """The levels of each factor, by option of the dataset; each level is one setting."""
    meanings: dict[str, str] = {}
    """What each factor does, in a sentence that the report shows."""

    @model_validator(mode="after")
    def _tells_settings_apart(self) -> Self:
        if "seed" in self.factors:
            raise WrongValueError(
                "factors.seed", "it cannot be a factor, as each replicate is a draw of its own"
            )
        for factor, levels in self.factors.items():
            names = [setting_name(factor, level) for level in levels]
            for number, name in enumerate(names):
                if (first := names.index(name)) < number:
                    raise WrongValueError(
                        f"factors.{factor}.{number}",
                        f"its setting would be {name}, as that of {levels[first]!r}; choose levels "
                        "that differ in their first six digits",
                    )
        return self

    def settings(self) -> dict[str, dict[str, int | float]]:
        """Return the option that each setting changes, none in the base, by name."""
        return {BASE: {}} | {
            setting_name(factor, level): {factor: level}
            for factor, levels in self.factors.items()
            for level in levels
        }


class Selection(Section):
    """A selection study: what each selection criterion costs where the truth is known."""

    renamed: ClassVar[Mapping[str, str]] = {"draws": "write `replicates: 3` at the top level"}

    candidates: Count
    """Hyper-parameter settings per method and replicate among which each criterion chooses."""


class Arms(Section):
    """A study of randomised arms: whether predictions agree with what a random draw shows."""

    field: str
    """The categorical field of the datasets that has the arm of each row."""
    values: Several[int | str]
    """The arms, as the raw files have them."""
    control: int | str
    """The arm with which each other one is compared."""
    strata: tuple[str, ...] = ()
    """Categorical fields, known before the draw, by which the calibration is split."""

    @model_validator(mode="after")
    def _controlled(self) -> Self:
        if len(self.values) == 1:
            raise WrongValueError("values", "it must name at least two arms, one of them `control`")
        if len({type(value) for value in self.values}) > 1:
            raise ValueError("values must be all numbers or all text")
        if self.control not in self.values:
            named = ", ".join(map(str, self.values))
            raise ValueError(f"control {self.control!r} must be one of the values {named}")
        return self


class StudyParams(Params):
    """``params.yaml`` of the benchmark or of a study, with the sections that only studies use."""

    renamed: ClassVar[Mapping[str, str]] = {"sweep": "write `sensitivity`, with `factors`"}

    title: str | None = None
    """A study's title, on its page and wherever it is linked; by default its folder's name."""
    sensitivity: Sensitivity | None = None
    """A sensitivity study, which names settings in place of ``datasets``."""
    selection: Selection | None = None
    """A selection study, which trains candidates in place of final fits."""
    arms: Arms | None = None
    """A study of randomised arms, whose report stands beside the leaderboard."""
    variants: dict[Name, dict[str, Any]] = {}
    """What each variant of the study changes in ``protocol``, by its name; ``{}`` changes nothing.

    Every dataset is a setting once per variant, all on the same draws. The report says how far
    conclusions of the first variant hold in the others.
    """

    _varied: dict[str, Self] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _varies_a_leaderboard(self) -> Self:
        if self.variants and (self.sensitivity or self.selection):
            raise WrongValueError("variants", "it cannot stand beside `sensitivity` or `selection`")
        return self

    @classmethod
    def read(
        cls, path: Path = Path("params.yaml"), *changes: Path, settings: Sequence[str] = ()
    ) -> Self:
        """Read and check the file and its changes, as :meth:`Params.read`, and every variant."""
        params = super().read(path, *changes, settings=settings)
        for variant in params.variants:
            changed = params.source.at(("variants", variant))
            merged = params.source.merged(Node({"protocol": changed}, changed.location))
            node = replace(merged, variant=variant)
            params._varied[variant] = validated(cls, node)
            params._varied[variant]._source = node
        return params

    def varied(self, variant: str) -> Self:
        """Return the params of a variant; "" is none."""
        return self._varied[variant] if variant else self

    def and_variants(self) -> list[Self]:
        """Return the params as they are, and of every variant."""
        return [self, *self._varied.values()]


@dataclass(frozen=True)
class Setting:
    """A dataset with the options that params change, and the folder of its processed splits.

    ``variant`` names what changes in the protocol, if anything does. ``shift`` is added to the
    seeds of its draws: settings with the same share the random numbers of each draw.
    """

    name: str
    dataset: str
    changed: Mapping[str, Any]
    processed: Path
    variant: str = ""
    shift: int = 0

    @cached_property
    def redraws(self) -> bool:
        """Whether every replicate is a fresh draw with splits of its own in a folder below.

        Where the adapter is not here any more, the folders tell.
        """
        if registry.path_of("datasets", self.dataset).is_file():
            return _kind(self.dataset).redraws
        return first_splits(self.processed) != self.processed

    @property
    def options(self) -> dict[str, Any]:
        """All options of the dataset.

        Raises:
            ConfigError: an option is unknown or has a wrong value.
            LookupError: there is no such dataset.
        """
        options: dict[str, Any] = _kind(self.dataset)(**self.changed).options.model_dump()
        return options

    def replicate(self, number: int) -> Path:
        """Return the folder of a replicate's splits."""
        return self.processed / str(number) if self.redraws else self.processed

    def tuning(self, number: int) -> Path:
        """Return the folder of a tuning draw's splits."""
        return self.processed / f"tuning-{number}" if self.redraws else self.processed

    def draws(self, replicates: int, tuning: int) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Yield the folder of every draw, and the options that it is made with."""
        if not self.redraws:
            yield self.processed, dict(self.changed)
            return
        first = self.options["seed"] + self.shift
        for number in range(replicates):
            yield self.replicate(number), {**self.changed, "seed": first + number}
        for number in range(tuning):
            yield self.tuning(number), {**self.changed, "seed": first + TUNING_SEED + number}

    @property
    def schema(self) -> Schema | None:
        """The schema of its first replicate, None where nothing was prepared."""
        folder = first_splits(self.processed)
        return schema_of(folder) if (folder / "schema.json").is_file() else None


def _shift(name: str) -> int:
    """Return the shift of a sensitivity study's setting, by its name alone: 0 for the base.

    The settings are to be independent blocks of one ranking. With numbers in common, a draw that
    suits a method would suit it in all of them.
    """
    return 0 if name == BASE else zlib.crc32(name.encode()) % SHIFTS


@dataclass(frozen=True)
class Workspace:
    """Where params, data and results lie: a study's, or the benchmark's own without one.

    ``changes`` are assignments such as ``protocol.max_epochs=3``, on top of the files. Data and
    results lie below ``base``.
    """

    study: str | None = None
    changes: tuple[str, ...] = ()
    base: Path = Path()

    @property
    def folder(self) -> Path:
        """The folder of ``params.yaml``."""
        return Path() if self.study is None else STUDIES / self.study

    @cached_property
    def params(self) -> StudyParams:
        """The benchmark's ``params.yaml``, with what the study's own changes in it.

        Raises:
            FileNotFoundError: there is no such study, or this is not the project root.
            ConfigError: a key is missing, unknown or has a wrong value.
        """
        folders = (path.name for path in STUDIES.glob("*") if path.is_dir())
        if self.study is not None and self.study not in folders:
            known = ", ".join(sorted(path.parent.name for path in STUDIES.glob("*/params.yaml")))
            raise FileNotFoundError(
                f"no study {shortened(repr(self.study))} in studies/; known: {known or 'none'}"
            )
        own = [] if self.study is None else [self.folder / "params.yaml"]
        return StudyParams.read(Path("params.yaml"), *own, settings=self.changes)

    def section(self, name: str) -> Any:
        """Return a section of the params that only some studies have.

        Raises:
            LookupError: there is none.
        """
        if (section := getattr(self.params, name)) is None:
            file = self.folder / "params.yaml"
            raise LookupError(f"{file} has no section `{name}`; name a study that has")
        return section

    def settings(self) -> list[Setting]:
        """Return what every method is trained on."""
        params = self.params
        if (study := params.sensitivity) is None:
            return [
                self._setting(dataset, dataset, {}, variant)
                for dataset in params.datasets
                for variant in params.variants or ("",)
            ]
        settings = study.settings().items()
        return [
            replace(self._setting(name, study.dataset, changed), shift=_shift(name))
            for name, changed in settings
        ]

    def _setting(
        self, name: str, dataset: str, changed: Mapping[str, Any], variant: str = ""
    ) -> Setting:
        options = self.params.options.get(dataset, {}) | dict(changed)
        title = f"{name}-{variant}" if variant else name
        return Setting(title, dataset, options, self.processed / name, variant)

    def sources(self) -> list[Setting]:
        """Return a setting for each folder of processed data, which variants share."""
        by_folder = {setting.processed: setting for setting in reversed(self.settings())}
        return list(reversed(by_folder.values()))

    def params_of(self, setting: Setting) -> StudyParams:
        """Return the params with what the setting's variant changes in them."""
        return self.params.varied(setting.variant)

    @property
    def tuning_draws(self) -> int:
        """How many draws of each simulated setting are for tuning alone."""
        tuning = [params.protocol.tuning for params in self.params.and_variants()]
        return max(own.draws if own.trials else 0 for own in tuning)

    @property
    def raw(self) -> Path:
        """Raw files, by dataset."""
        return self.base / "data" / self.folder / "raw"

    @property
    def processed(self) -> Path:
        """Processed splits, by setting."""
        return self.base / "data" / self.folder / "processed"

    @property
    def results(self) -> Path:
        """Tables and pictures, which are published."""
        return self.base / "results" / self.folder

    @property
    def runs(self) -> Path:
        """The record of every fit, by setting and method, which is not."""
        return self.results / "runs"


def _kind(dataset: str) -> type[Dataset]:
    from benchmark.data.dataset import Dataset  # noqa: PLC0415 (half a second)

    return registry.load("datasets", dataset, Dataset)
