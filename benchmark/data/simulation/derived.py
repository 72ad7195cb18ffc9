"""Datasets made from the rows of another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from benchmark import registry
from benchmark.data.dataset import Dataset, kept
from benchmark.data.options import is_wrong, options_from
from benchmark.data.split import split_by_hash
from benchmark.errors import ConfigError


class Derived(Dataset):
    """A dataset that takes rows, features and raw files from a base, and makes its own outcomes.

    A subclass calls :meth:`set_base` in its constructor and reads :meth:`origin_rows`.
    """

    origin: Dataset

    def set_base(self, base: str, options: Mapping[str, Any]) -> None:
        """Take all that is not about outcomes from a dataset with impressions.

        Raises:
            ConfigError: there is none of that name, or it is no log, or one of clicks only; or
                it has no such options.
        """
        self.base, self.origin = base, self._real_log(base, options)
        self.sources = self.origin.sources
        self.categorical, self.numeric = self.origin.categorical, self.origin.numeric
        self.min_count, self.proxy_label = self.origin.min_count, self.origin.proxy_label
        self.licence, self.cite = self.origin.licence, self.origin.cite

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Its own file and those of its base: an edit of either makes other data."""
        return (self.name, *self.origin.depends_on)

    @contextmanager
    def working_in(self, folder: Path) -> Iterator[None]:
        """See :meth:`Dataset.working_in`; files of the base have a folder of their own in it."""
        (folder / "base").mkdir(exist_ok=True)
        with super().working_in(folder), self.origin.working_in(folder / "base"):
            yield

    def origin_rows(self, raw: Path) -> pl.LazyFrame:
        """Return the base's table."""
        return self.origin.table(raw)

    def _real_log(self, name: str, options: Mapping[str, Any]) -> Dataset:
        try:
            kind = registry.load("datasets", name, Dataset)
        except LookupError as error:
            raise self._no_base(name, str(error.args[0])) from error
        if issubclass(kind, Derived):
            raise self._no_base(name, f"{name} is no real log itself")
        options_from(kind.options_model(), options, "options", self.name, "base_options")
        log = kind(**options)
        if not log.sources:
            raise self._no_base(name, f"{name} is no real log itself")
        if "impression" not in log.stages:
            raise self._no_base(name, f"{name} has clicks only: no unclicked impression is logged")
        if "conversion" not in log.stages:
            raise self._no_base(name, f"{name} has no conversions")
        return log

    def _no_base(self, name: str, why: str) -> ConfigError:
        must = f"a log of impressions, clicks and conversions: {why}"
        return ConfigError([is_wrong(name, must, "options", self.name, "base")])


def sampled(table: pl.LazyFrame, rows: int, seed: int) -> pl.DataFrame:
    """Return about ``rows`` rows of a table, all if it has no more; groups stay whole."""
    table = kept(table)
    share = min(1.0, rows / max(1, table.select(pl.len()).collect().item()))
    whole = pl.int_range(pl.len()).cast(pl.String)
    if "group" in table.collect_schema():
        whole = pl.coalesce(pl.col("group").cast(pl.String), pl.format("row {}", whole))
    key = pl.format("{} {}", pl.lit(seed), whole)
    return table.filter(split_by_hash(key, {"kept": share, "left": 1 - share}) == "kept").collect()
