"""Datasets made from the rows of another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from benchmark import registry
from benchmark.data.dataset import DataError, Dataset, kept
from benchmark.data.split import split_by_hash


class Derived(Dataset):
    """A dataset that takes rows, features and raw files from a base, and makes its own outcomes.

    A subclass calls :meth:`set_base` in its constructor and reads :meth:`origin_rows`. DVC, which
    reads no options, does not know the base: after an edit of its adapter, make the derived data
    anew with ``dvc repro --force preprocess@<name>``.
    """

    origin: Dataset

    def set_base(self, base: str, **options: Any) -> None:
        """Take all that is not about outcomes from a dataset with impressions.

        Raises:
            DataError: there is none of that name, or it is no log, or one of clicks only.
        """
        self.base, self.origin = base, _real_log(base, options)
        self.sources = self.origin.sources
        self.categorical, self.numeric = self.origin.categorical, self.origin.numeric
        self.min_count, self.outcome = self.origin.min_count, self.origin.outcome
        self.licence, self.cite = self.origin.licence, self.origin.cite

    @contextmanager
    def working_in(self, folder: Path) -> Iterator[None]:
        """See :meth:`Dataset.working_in`; files of the base have a folder of their own in it."""
        (folder / "base").mkdir(exist_ok=True)
        with super().working_in(folder), self.origin.working_in(folder / "base"):
            yield

    def origin_rows(self, raw: Path) -> pl.LazyFrame:
        """Return the base's table."""
        return self.origin.table(raw)


def _real_log(name: str, options: dict[str, Any]) -> Dataset:
    wrong = f"option base is {name!r}; it must be a log of impressions and clicks"
    try:
        kind = registry.load("datasets", name, Dataset)
    except LookupError as error:
        raise DataError(f"{wrong}: {error.args[0]}") from error
    if issubclass(kind, Derived) or not (log := kind(**options)).sources:
        raise DataError(f"{wrong}, and {name} is no real log itself")
    if "impression" not in log.stages:
        raise DataError(f"{wrong}, and {name} has clicks only: nothing tells what was not clicked")
    if "conversion" not in log.stages:
        raise DataError(f"{wrong} with conversions, and {name} has none")
    return log


def sampled(table: pl.LazyFrame, rows: int, seed: int) -> pl.DataFrame:
    """Return about ``rows`` rows of a table, all if it has no more; groups stay whole."""
    table = kept(table)
    share = min(1.0, rows / max(1, table.select(pl.len()).collect().item()))
    whole = pl.int_range(pl.len()).cast(pl.String)
    if "group" in table.collect_schema():
        whole = pl.coalesce(pl.col("group").cast(pl.String), pl.format("row {}", whole))
    key = pl.format("{} {}", pl.lit(seed), whole)
    return table.filter(split_by_hash(key, {"kept": share, "left": 1 - share}) == "kept").collect()
