"""What is counted in a processed dataset, in one small file that can be committed.

Processed data is large and on one machine; its facts are small and for everyone. They are kept
beside the card that they are printed in, so that it can be written anew without the data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict

from benchmark import parquet
from benchmark.data.fetching.raw import origins
from benchmark.documentation.cards.overlap import Overlap, overlap
from benchmark.files import read_json, write_text
from benchmark.schema import LABELS, SPLITS, TIMES, Field, Schema


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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


def measure(processed: Path, raw: Path) -> Facts:
    """Count what a processed folder holds that was made from a raw one.

    Raises:
        FileNotFoundError: the dataset was not preprocessed.
    """
    schema = Schema.read(processed)
    report = read_json(processed / "report.json")
    tables = {split: parquet.scan(processed / f"{split}.parquet") for split in SPLITS}
    return Facts(
        title=schema.title,
        stages=schema.stages,
        options=schema.options,
        verified=schema.verified,
        origins=origins(raw),
        fingerprint=schema.fingerprint,
        populations=tuple(
            population for split in SPLITS for population in _populations(split, tables[split])
        ),
        features=tuple(_features(schema.fields, tables["test"])),
        groups={split: report[split]["groups"] for split in SPLITS} if schema.has_groups else {},
        click_times=_click_times(tables) if schema.attribution_window is not None else {},
        attribution_window=schema.attribution_window,
        dropped=report.get("dropped", {}),
        overlap=overlap(schema, tables["train"]),
    )


def read(path: Path) -> Facts | None:
    """Return recorded facts, None where there are none."""
    if not path.is_file():
        return None
    return Facts.model_validate_json(path.read_text(encoding="utf-8"))


def write(facts: Facts, path: Path) -> None:
    """Record facts."""
    write_text(path, facts.model_dump_json(indent=1) + "\n")


def _populations(split: str, table: pl.LazyFrame) -> list[Population]:
    labels = [label for label in LABELS if label in table.collect_schema()]
    counted = (
        table.group_by("policy")
        .agg(
            pl.len(),
            *(pl.col(label).count().alias(f"{label} known") for label in labels),
            *(pl.col(label).cast(pl.Int64).sum().alias(label) for label in labels),
        )
        .sort("policy")
        .collect(engine="streaming")
    )
    return [
        Population(
            split=split,
            policy=row["policy"],
            rows=row["len"],
            known={label: row[f"{label} known"] for label in labels},
            positive={label: row[label] for label in labels},
        )
        for row in counted.iter_rows(named=True)
    ]


def _features(fields: tuple[Field, ...], test: pl.LazyFrame) -> list[Feature]:
    ids = [field.name for field in fields if field.kind == "categorical"]
    unknown = test.select((pl.col(name) == 0).mean() for name in ids).collect(engine="streaming")
    return [
        Feature(
            name=field.name,
            kind=field.kind,
            size=field.size,
            unknown_in_test=round(unknown[field.name].item(), 4) if field.name in ids else None,
        )
        for field in fields
    ]


def _click_times(tables: dict[str, pl.LazyFrame]) -> dict[str, tuple[float, float]]:
    time = pl.col(TIMES[0])
    ends = {
        split: table.select(first=time.min(), last=time.max()).collect().row(0)
        for split, table in tables.items()
    }
    return {split: (first, last) for split, (first, last) in ends.items() if first is not None}
