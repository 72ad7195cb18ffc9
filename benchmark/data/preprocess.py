"""From an adapter's table to processed splits: checked, encoded by the training split, atomic.

Memory does not grow with rows: every step streams, and holds at most the distinct values of one
categorical field or of the groups of one split.
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Any

import polars as pl

from benchmark import parquet
from benchmark.data import checks, encoding
from benchmark.data.dataset import DataError, Dataset, kept
from benchmark.data.full_disk import raise_on_full_disk
from benchmark.data.partitions import stored
from benchmark.data.reading.readers import locate_read_errors
from benchmark.data.resumption import resumable
from benchmark.files import read_record, replacing_folder, write_json
from benchmark.schema import ORACLE, PROPENSITY, SPLITS, TIMES, Schema, fingerprint_of

ROW_GROUP = 1 << 18  # fixed: by default it follows the number of cores, and so would fingerprints


def preprocess(
    dataset: Dataset, name: str, raw: Path, processed: Path, *, verified: bool
) -> Schema:
    """Write schema, three Parquet splits, oracle files and report; return the schema.

    Vocabularies and scalers are fitted on the train split only; id 0 is "unknown". Numbers are
    standardised, missing ones become 0 (the train mean). Sequences have the ids of the field that
    they list values of, cut and filled up to one length. Groups are numbered within each split,
    in the order of their values. What a killed process had read is not read again.

    Raises:
        DataError: the raw files cannot be read, or break the contract of :class:`Dataset`; or the
            disk is full.
    """
    with (
        resumable(dataset, raw, processed) as scratch,
        raise_on_full_disk(scratch),
        replacing_folder(processed) as folder,
    ):
        table, notes, dropped = _evaluated(dataset, raw, scratch)
        if table.limit(1).collect(engine="streaming").is_empty():
            raise dataset.why_empty(raw, checks.counted(dropped))
        report: dict[str, Any] = checks.check(table, dataset, dropped)
        vocabularies = _write_splits(table, dataset, folder, report)
        schema = Schema(
            dataset=name,
            title=dataset.title,
            options=dataset.options.model_dump(),
            stages=dataset.stages,
            proxy_label=dataset.proxy_label,
            fields=encoding.fields(dataset, vocabularies),
            rows={split: report[split]["rows"] for split in SPLITS},
            has_oracle=checks.has(table, ORACLE),
            has_groups=report["train"]["groups"] > 1,
            has_propensity=checks.has(table, PROPENSITY),
            verified=verified,
            licence=dataset.licence,
            citation=dataset.citation,
            claims=f"{dataset.claims} {notes}".rstrip(),
            fingerprint=fingerprint_of(folder),
            attribution_window=dataset.attribution_window if checks.has(table, TIMES) else None,
        )
        write_json(folder / "schema.json", schema.model_dump(exclude_defaults=True))
        write_json(folder / "report.json", {**report, "dropped": dropped} if dropped else report)
    return schema


def _evaluated(
    dataset: Dataset, raw: Path, scratch: Path
) -> tuple[pl.LazyFrame, str, dict[str, int]]:
    """Read the raw files once; return the table, the notes on it and the counts of dropped rows."""
    what, record = f"{dataset.title}: the files in {raw}", scratch / "parts.json"
    if (known := read_record(record)) is None:
        with locate_read_errors(what):
            known = _stored_parts(dataset, raw, scratch)
        write_json(record, known)  # behind the block, whose end may refuse the files
    parts = [parquet.scan(scratch / f"{name}.parquet") for name in known["names"]]
    with locate_read_errors(what):
        table, notes = dataset.finished(pl.concat(parts)), known["notes"]
    if "dropped" not in table.collect_schema():
        return table, notes, {}
    rules = table.select(pl.col("dropped").drop_nulls()).group_by("dropped").len().sort("dropped")
    return kept(table), notes, dict(rules.collect(engine="streaming").iter_rows())


def _stored_parts(dataset: Dataset, raw: Path, scratch: Path) -> dict[str, Any]:
    """Write the parts from files, without those that a killed process has; name and note them."""
    parts = dataset.parts(raw)
    for name, part in parts.items():
        stored(checks.with_defaults(part, dataset), scratch / f"{name}.parquet")
    return {"names": list(parts), "notes": dataset.notes(raw)}


def _write_splits(
    table: pl.LazyFrame, dataset: Dataset, folder: Path, report: dict[str, Any]
) -> dict[str, pl.Series]:
    """Write the Parquet files, report the groups and return the vocabularies."""
    train = table.filter(pl.col("split") == "train")
    vocabularies = encoding.vocabularies(train, dataset)
    features = encoding.encoded(train, dataset, vocabularies)
    others = [x for known in (TIMES, PROPENSITY) if checks.has(table, known) for x in known]
    columns = [*checks.labels_of(dataset), "policy", "group", *others]
    for split in SPLITS:
        part = table.filter(pl.col("split") == split)
        groups = encoding.distinct(part, "group")
        report[split]["groups"] = len(groups)
        group = encoding.ids(pl.col("group"), groups).alias("group")
        names = [*dataset.categorical, *dataset.numeric, *dataset.sequences, *columns]
        _sink(part.with_columns(*features, group).select(names), folder / f"{split}.parquet")
        _check_scaled(folder / f"{split}.parquet", dataset, split)
        if checks.has(table, ORACLE) and split != "train":
            _sink(part.select(ORACLE), folder / f"{split}.oracle.parquet")
    return vocabularies


def _check_scaled(path: Path, dataset: Dataset, split: str) -> None:
    """Refuse numbers that are beyond single precision once they are scaled by what train spans."""
    largest = parquet.scan(path).select(pl.col(dataset.numeric).abs().max()).collect()
    for field, value in largest.row(0, named=True).items() if dataset.numeric else ():
        if value is not None and not isfinite(value):
            raise DataError(
                f"{dataset.title}: {field} has a number in {split} that is not finite once it is "
                "scaled by the mean and spread of train; it must be missing where it stands for "
                "something else"
            )


def _sink(part: pl.LazyFrame, path: Path) -> None:
    """Write one file: a sink that partitions would read the table once, but holds most of it."""
    part.sink_parquet(path, compression="lz4", row_group_size=ROW_GROUP)
