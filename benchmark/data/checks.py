"""What must be true of an adapter's table, and the counts of one of which it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import polars as pl

from benchmark.data.dataset import DataError, Dataset
from benchmark.data.reading.times import check_order, time_rules
from benchmark.schema import LABELS, ORACLE, POST_CLICK, PROPENSITY, SPLITS, TIMES

POLICIES = ("log", "random")
LARGEST = float(1 << 53)  # beyond, numbers are such as the largest float, and drown all others
OPTIONAL: dict[str, pl.DataType] = {
    "split": pl.String(),  # the finished table must have it
    "propensity": pl.Float64(),
    "dropped": pl.String(),
}


def labels_of(dataset: Dataset) -> list[str]:
    """Return the stages that are labels: a click is one only where something was not clicked."""
    space = {"impression"} if "impression" in dataset.stages else {"click"}
    return [label for label in LABELS if label in set(dataset.stages) - space]


def has(table: pl.LazyFrame, columns: tuple[str, ...]) -> bool:
    """Return whether a table has columns that come together or not at all."""
    return columns[0] in table.collect_schema()


def with_defaults(table: pl.LazyFrame, dataset: Dataset) -> pl.LazyFrame:
    """Return the columns that the contract knows, numbers as floats or missing.

    Features in single precision stay so.

    Raises:
        DataError: a column is lacking, or of another type than the contract says.
    """
    present = table.collect_schema()
    labels = labels_of(dataset)
    oracle, times = (
        known if any(column in present for column in known) else () for known in (ORACLE, TIMES)
    )
    features = [*dataset.categorical, *dataset.numeric, *dataset.sequences]
    needed = [*features, *labels, *oracle, *times]
    if lacking := [column for column in needed if column not in present]:
        raise DataError(f"the table of {dataset.title} lacks the columns {', '.join(lacking)}")
    optional = [column for column in OPTIONAL if column in present]
    types = dict.fromkeys(labels, pl.Int8()) | {name: OPTIONAL[name] for name in optional}
    for name, dtype in types.items():
        if present[name] != dtype:
            raise DataError(f"{dataset.title}: {name} is {present[name]}, it must be {dtype}")
    _check_sequences(present, dataset)
    defaults = {"policy": pl.lit("log"), "group": pl.lit(0, dtype=pl.UInt32)}
    added = [value.alias(name) for name, value in defaults.items() if name not in present]
    single = [name for name in dataset.numeric if present[name] == pl.Float32]
    double = [name for name in (*dataset.numeric, *times) if name not in single]
    numbers = (pl.col(single).fill_nan(None), pl.col(double).cast(pl.Float64).fill_nan(None))
    return table.with_columns(*added, *numbers).select(*needed, *defaults, *optional)


def _check_sequences(present: pl.Schema, dataset: Dataset) -> None:
    for name, (field, length) in dataset.sequences.items():
        if field not in dataset.categorical or length < 1:
            raise DataError(
                f"{dataset.title}: the sequence {name} has {length} values of {field!r}; it must "
                f"have at least 1, of one of {', '.join(dataset.categorical)}"
            )
        if present[name] != pl.List(present[field]):
            raise DataError(
                f"{dataset.title}: {name} is {present[name]}; as it lists values of {field}, it "
                f"must be {pl.List(present[field])}"
            )


def check(
    table: pl.LazyFrame, dataset: Dataset, dropped: Mapping[str, int] = MappingProxyType({})
) -> dict[str, dict[str, Any]]:
    """Return counts per split, or raise one sentence about the first broken rule.

    ``dropped`` counts the rows that were left out, by rule: it explains why a split has none.

    Raises:
        DataError: a row breaks a rule, or a split has no rows.
    """
    if not has(table, ("split",)):
        raise DataError(f"the table of {dataset.title} lacks the columns split")
    sums = [pl.col(label).sum().cast(pl.Int64) for label in labels_of(dataset)]
    counts = table.group_by("split").agg(pl.len().alias("rows"), *sums).sort("split")
    broken = table.select(
        broken.fill_null(value=False).sum().alias(rule)
        for rule, broken in _rules(table, dataset).items()
    )
    for rule, rows in broken.collect(engine="streaming").row(0, named=True).items():
        if rows:
            raise DataError(f"{dataset.title}: {rule}; {rows} rows break this rule")
    report = {row["split"]: row for row in counts.collect(engine="streaming").to_dicts()}
    if empty := [split for split in SPLITS if split not in report]:
        left_out = f"; left out were {counted(dropped)}" if dropped else ""
        raise DataError(f"{dataset.title}: no rows in split {', '.join(empty)}{left_out}")
    if has(table, TIMES):
        check_order(table, dataset)
    return report


def counted(dropped: Mapping[str, int]) -> str:
    """Return in words how many rows each rule left out."""
    return ", ".join(f"{count:,} × {rule}" for rule, count in dropped.items())


def _rules(table: pl.LazyFrame, dataset: Dataset) -> dict[str, pl.Expr]:
    """Return what must not be true of any row, by the rule that it breaks."""
    labels = labels_of(dataset)
    clicked = pl.col("click") == 1 if "click" in labels else pl.lit(value=True)
    logged = pl.col("policy") == "log"
    rules = {
        f"{column} must be one of {', '.join(known)}": ~pl.col(column)
        .is_in(known)
        .fill_null(value=False)
        for column, known in {"policy": POLICIES, "split": SPLITS}.items()
    }
    if "click" in labels:
        to_learn = pl.col("split") == "train"
        rules["click must be known on logged rows and in train"] = pl.col("click").is_null() & (
            logged | to_learn
        )
    for label in labels:
        value = pl.col(label)
        rules[f"{label} must be 0, 1 or missing"] = ~value.is_in([0, 1])
        if label in POST_CLICK:
            rules[f"{label} must be known on clicked rows"] = clicked & value.is_null()
            rules[f"{label} must be missing on unclicked logged rows"] = (
                logged & ~clicked & value.is_not_null()
            )
    for field in dataset.numeric:
        rules[f"{field} must be finite or missing"] = pl.col(field).is_infinite()
        rules[f"{field} must be missing where it is beyond 2^53, and so stands for something"] = (
            pl.col(field).abs() > LARGEST
        )
    for column in ORACLE if has(table, ORACLE) else ():
        inside = pl.col(column).cast(pl.Float64).is_between(0, 1)
        rules[f"{column} must be in [0, 1]"] = ~inside.fill_null(value=False)
    if has(table, PROPENSITY):
        rules["propensity must be above 0, at most 1, or missing"] = ~(
            (pl.col("propensity") > 0) & (pl.col("propensity") <= 1)
        )
    return rules | (time_rules(dataset, clicked) if has(table, TIMES) else {})
