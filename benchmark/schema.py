"""The processed data: what the columns mean, which funnel stages exist, how the splits are stored.

A processed folder holds ``schema.json``, ``{train,valid,test}.parquet`` and, where the truth is
known, ``{valid,test}.oracle.parquet`` apart from them: methods are never given the latter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from benchmark.files import fingerprint, sha256

SPLITS = ("train", "valid", "test")
LABELS = ("click", "micro", "macro", "conversion")
POST_CLICK = LABELS[1:]
ORACLE = ("oracle_ctr", "oracle_cvr", "oracle_conversion")
TIMES = ("click_time", "conversion_delay")
PROPENSITY = ("propensity",)

Stage = Literal["impression", "click", "micro", "macro", "conversion"]
Need = Literal[Stage, "delay"]


def funnel(stages: Sequence[Stage], proxy_label: str | None) -> str:
    """Return the stages in a line, with the proxy label where no conversion is logged."""
    line = " → ".join(stages)
    return line if proxy_label is None else f"{line} ({proxy_label})"


def fingerprint_of(folder: Path) -> str:
    """Return the fingerprint of the Parquet files of a processed folder."""
    paths = sorted(folder.glob("*.parquet"))
    known = (
        (path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths
    )
    return _fingerprint(tuple(zip(paths, known, strict=True)))


@cache
def _fingerprint(files: tuple[tuple[Path, tuple[int, int, int]], ...]) -> str:
    """Return the fingerprint of files, given with what changes when they do."""
    return fingerprint(sha256(path) for path, _ in files)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Field(_Record):
    """One input feature.

    ``size`` counts the ids of a categorical field, 0 being "unknown"; it is 1 for a number. A
    sequence holds ``length`` ids of the field ``of``, the most recent last; 0 stands for unknown
    ones and fills up short ones from the left.
    """

    name: str
    kind: Literal["categorical", "numeric", "sequence"]
    size: int
    of: str | None = None
    length: int = 0


class Schema(_Record):
    """What a processed dataset holds.

    ``stages`` lists the funnel stages that the dataset has: one without "impression" consists of
    clicks only, and nothing about the entire space can be learned or claimed from it.
    ``proxy_label`` is what "conversion" means where no conversion is logged, else None.
    ``options`` are the adapter's, as chosen.
    ``attribution_window`` is how long after its click a conversion counts, in the unit of the
    log's ``TIMES``; it is None where there are no times. ``has_propensity`` is whether it
    publishes with which probability its policy showed each row.
    """

    dataset: str
    title: str
    options: dict[str, Any]
    stages: tuple[Stage, ...]
    fields: tuple[Field, ...]
    rows: dict[str, int]
    has_oracle: bool
    has_groups: bool
    verified: bool
    licence: str
    citation: str
    claims: str
    fingerprint: str
    attribution_window: float | None = None
    has_propensity: bool = False
    proxy_label: str | None = None

    @property
    def categorical(self) -> tuple[Field, ...]:
        """The categorical fields, in the order of the packed ids."""
        return tuple(field for field in self.fields if field.kind == "categorical")

    @property
    def numeric(self) -> tuple[Field, ...]:
        """The numeric fields, in the order of the packed numbers."""
        return tuple(field for field in self.fields if field.kind == "numeric")

    @property
    def sequences(self) -> tuple[Field, ...]:
        """The histories, in the order of the packed sequences."""
        return tuple(field for field in self.fields if field.kind == "sequence")

    @property
    def has_impressions(self) -> bool:
        """Whether unclicked impressions are logged."""
        return "impression" in self.stages

    @property
    def offers(self) -> frozenset[Need]:
        """What a method may need: the stages, and "delay" where conversions have times."""
        timed: set[Need] = set() if self.attribution_window is None else {"delay"}
        return frozenset(timed.union(self.stages))

    def check_splits(self, folder: Path) -> None:
        """Compare the splits of a folder with the fingerprint, once per process and content.

        Raises:
            ValueError: they were edited or damaged after they were written.
        """
        if fingerprint_of(folder) != self.fingerprint:
            raise ValueError(
                f"the splits in {folder} are not those that its schema.json was written for: they "
                f"were edited or damaged since; run `python -m benchmark preprocess {folder.name}`"
            )

    @classmethod
    def read(cls, folder: Path) -> Schema:
        """Read ``folder/schema.json``.

        Raises:
            FileNotFoundError: the dataset was not preprocessed.
        """
        path = folder / "schema.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; run `python -m benchmark data` first")
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
