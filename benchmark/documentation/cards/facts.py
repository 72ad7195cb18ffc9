"""What is counted in a processed dataset for its card."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmark import parquet
from benchmark.data.fetching.raw import origins
from benchmark.documentation.cards.overlap import overlap
from benchmark.documentation.cards.records import Facts, Feature, Population
from benchmark.files import read_json
from benchmark.schema import LABELS, SPLITS, TIMES, Field
from benchmark.splits import schema_of


def measure(processed: Path, raw: Path) -> Facts:
    """Count what a processed folder holds that was made from a raw one.

    Raises:
        FileNotFoundError: the dataset was not preprocessed.
    """
    schema = schema_of(processed)
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
