"""Processed data as RecBole's atomic files, for training stock RecBole on the very same splits.

RecBole cannot say that a label is unknown: it fills an empty number with the column's mean. So a
file holds only labels that are known in each of its rows, and rows are parted by what is known:

- ``<name>.train.inter``: what was logged. If that is impressions, with ``click`` and the
  entire-space labels ``click_and_conversion`` and so on, which are 0 on unclicked rows whatever
  the unknown conversion would have been; if it is clicks, with the labels after the click.
- ``<name>.train_clicked.inter``: the clicked impressions, with the labels after the click.
- ``<name>.test_random.inter``: what was shown at random and has a known ``conversion``.

Files without rows are left out. An unknown id is an empty cell, which RecBole gives its own id 0;
a sequence leaves unknown ids out, and shares no ids with its field in RecBole.
``recbole.yaml`` holds the settings that RecBole needs to read the files.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import yaml

from benchmark import parquet
from benchmark.data.dataset import DataError
from benchmark.files import replacing_folder, write_text
from benchmark.schema import POST_CLICK, SPLITS, Field, Schema
from benchmark.splits import check_whole, schema_of

ROWS_AFTER_CLICK = """\
# To learn what follows a click instead:
# LABEL_FIELD: conversion
# benchmark_filename: [train_clicked, valid_clicked, test_clicked]
"""


def export_recbole(processed: Path, folder: Path) -> None:
    """Write processed splits as atomic files; RecBole's name for the dataset is that of ``folder``.

    Raises:
        DataError: a field's name cannot head a column of an atomic file.
        FileNotFoundError: the dataset was not preprocessed.
    """
    check_whole(processed)
    schema = schema_of(processed)
    features = [_column(field, schema) for field in schema.fields]
    with replacing_folder(folder) as temporary:
        for split in SPLITS:
            table = parquet.scan(processed / f"{split}.parquet")
            for suffix, (rows, labels) in _parts(schema).items():
                path = temporary / f"{folder.name}.{split}{suffix}.inter"
                _write(table.filter(rows), [*features, *labels], path)
        write_text(temporary / "recbole.yaml", _settings(schema, folder))


def _column(field: Field, schema: Schema) -> pl.Expr:
    if set(field.name) & set(":\t\r\n"):
        raise DataError(
            f"{schema.dataset}: the field {field.name!r} cannot head a column of an atomic file, "
            "where colons, tabs and line breaks separate; rename it in the dataset's adapter"
        )
    value = pl.col(field.name)
    if field.kind == "numeric":
        return value.alias(f"{field.name}:float")
    if field.kind == "sequence":
        known = value.arr.to_list().list.eval(pl.element().filter(pl.element() > 0))
        return known.cast(pl.List(pl.String)).list.join(" ").alias(f"{field.name}:token_seq")
    return pl.when(value > 0).then(value).alias(f"{field.name}:token")


def _parts(schema: Schema) -> dict[str, tuple[pl.Expr, list[pl.Expr]]]:
    """Return, per suffix of a file's name, its rows and the labels known in all of them."""
    logged, clicked = pl.col("policy") == "log", pl.col("click") == 1
    after: dict[str, pl.Expr] = {x: pl.col(x) for x in POST_CLICK if x in schema.stages}
    random = (pl.col("policy") == "random") & pl.col("conversion").is_not_null()
    parts = {"_random": (random, _labels({"conversion": pl.col("conversion")}))}
    if not schema.has_impressions:
        return {"": (logged, _labels(after)), **parts}
    joint = {f"click_and_{label}": clicked & (value == 1) for label, value in after.items()}
    parts[""] = (logged, _labels({"click": pl.col("click"), **joint}))
    parts["_clicked"] = (logged & clicked, _labels(after))
    return parts


def _labels(values: dict[str, pl.Expr]) -> list[pl.Expr]:
    return [value.cast(pl.Int8).alias(f"{label}:float") for label, value in values.items()]


def _write(rows: pl.LazyFrame, columns: list[pl.Expr], path: Path) -> None:
    if rows.select(pl.len()).collect().item():
        rows.select(columns).sink_csv(path, separator="\t", quote_style="never")


def _settings(schema: Schema, folder: Path) -> str:
    settings = {
        "data_path": folder.parent.as_posix(),
        "load_col": None,
        "USER_ID_FIELD": None,
        "ITEM_ID_FIELD": None,
        "LABEL_FIELD": "click" if schema.has_impressions else "conversion",
        "numerical_features": [field.name for field in schema.numeric],
        "benchmark_filename": list(SPLITS),
    }
    text = yaml.safe_dump(settings, sort_keys=False)
    return text + ROWS_AFTER_CLICK if schema.has_impressions else text
