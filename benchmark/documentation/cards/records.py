"""The facts of a processed dataset, in one small file that can be committed.

Processed data is large and on one machine; its facts are small and for everyone. They are kept
beside the card that they are printed in, so that it can be written anew without the data, and so
that a table of results on the data can repeat them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.errors import BenchmarkError
from benchmark.files import write_text


class CardError(BenchmarkError):
    """Recorded facts that cannot be used: in which file, why, and what to do."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(
            f"{path} {fault}; make it again by `python -m benchmark cards` where the dataset is "
            "processed, or delete it"
        )


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Clipped(_Record):
    r"""What a floor of the propensities does: shares of rows, and what the clicks are worth.

    ``impressions`` and ``clicks`` are the shares of each whose propensity is below the floor.
    ``effective_clicks`` is the effective sample size of the clicks,
    :math:`(\sum_i w_i)^2 / \sum_i w_i^2` with the weights :math:`w_i = 1 / \max(\hat o_i, f)`.
    ``mass`` is the sum of the weights per impression: 1 where they are right, less where clipped.
    """

    floor: float
    impressions: float
    clicks: float
    effective_clicks: float
    mass: float


class Overlap(_Record):
    """Click propensities of logged training rows, each estimated without the row itself."""

    rows: int
    clicks: int
    auc: float
    quantiles: dict[str, float]
    floors: tuple[Clipped, ...]


class Population(_Record):
    """Rows of a split under one policy: per label in how many it is known, and in how many 1."""

    split: str
    policy: str
    rows: int
    known: dict[str, int]
    positive: dict[str, int]


class Feature(_Record):
    """An input: its ids with "unknown", and the share of test rows in which it is unknown."""

    name: str
    kind: str
    size: int
    unknown_in_test: float | None


class Facts(_Record):
    """What the processed copy of a dataset holds, and which copy that was."""

    title: str
    stages: tuple[str, ...]
    options: dict[str, Any]
    verified: bool
    origins: str  # of the raw files, in words; "" where they are gone
    fingerprint: str
    populations: tuple[Population, ...]
    features: tuple[Feature, ...]
    groups: dict[str, int]  # by split; empty where rows are not grouped
    click_times: dict[str, tuple[float, float]]  # first and last by split; empty without times
    attribution_window: float | None
    dropped: dict[str, int]  # rows left out, by the rule
    overlap: Overlap | None = None  # None without impressions, or with too few clicks

    @property
    def rows(self) -> int:
        """How many rows there are in all splits."""
        return sum(population.rows for population in self.populations)


def read(path: Path) -> Facts | None:
    """Return recorded facts, None where there are none.

    Raises:
        CardError: they are not of this version, or damaged.
    """
    if not path.is_file():
        return None
    try:
        return Facts.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CardError(path, f"does not fit this version ({where}: {first['msg']})") from error


def write(facts: Facts, path: Path) -> None:
    """Record facts."""
    write_text(path, facts.model_dump_json(indent=1) + "\n")
