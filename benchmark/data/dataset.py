"""The contract of ``datasets/``: one adapter per log, from raw files to one lazy table."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import polars as pl

from benchmark import bibliography, registry
from benchmark.data.options import Options, options_from
from benchmark.schema import Stage


class DataError(ValueError):
    """Raw data that cannot be used; the message says file, row, value, what is allowed."""


@dataclass(frozen=True)
class Source:
    """One raw file: where it comes from and how to know it.

    ``url`` is None where a login or a licence click is needed: then ``page`` is where a person
    gets it. ``sha256`` and ``size`` (bytes) are None while unknown: the file is then unverified.
    """

    file: str
    page: str
    url: str | None = None
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Reported:
    """A CVR AUC that someone reports on a dataset: by which model, under which protocol, where.

    ``source`` is the page on which the value was read.
    """

    cvr_auc: float
    model: str
    protocol: str
    source: str


class Dataset(ABC):
    """A public log, mapped honestly to the funnel.

    A subclass sets the attributes below and implements :meth:`table`. Its annotation of
    ``options`` names the model of its options in ``params.yaml``, and an instance has their
    values; where another attribute depends on them, the instance sets it.
    """

    title: str
    cite: str  # the key of its paper in datasets/references.bib
    licence: str
    claims: str  # what may and may not be said of results on this log, one paragraph
    stages: tuple[Stage, ...]
    proxy_label: str | None = None  # what is called conversion where none is logged, as a like
    categorical: tuple[str, ...]
    numeric: tuple[str, ...] = ()
    # The categorical field that a history lists values of, and how many; may follow the options.
    sequences: Mapping[str, tuple[str, int]] = {}
    sources: tuple[Source, ...] = ()  # empty: simulated, nothing to fetch
    reported: tuple[Reported, ...] = ()  # by others, to place a number of one's own
    base: str | None = None  # the dataset whose raw files the sources are; None: its own
    attribution_window: float | None = None  # where the table has times, in their unit
    min_count: int = 1  # ids seen less often in train are "unknown"
    options: Options
    redraws: ClassVar[bool] = False  # whether each value of its option `seed` is a fresh draw of it
    _scratch: Path | None = None

    def __init__(self, **options: Any) -> None:
        self.options = options_from(self.options_model(), options, "options", self.name)

    @classmethod
    def options_model(cls) -> type[Options]:
        """Return the model of the options, which the annotation of ``options`` names."""
        model: type[Options] = get_type_hints(cls)["options"]
        return model

    @property
    def name(self) -> str:
        """The name of the file in ``datasets/``."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The names of the files in ``datasets/`` from which its data follow, its own first."""
        return (self.name,)

    @property
    def citation(self) -> str:
        """The entry of ``datasets/references.bib`` that ``cite`` names.

        Raises:
            LookupError: there is none.
        """
        source = registry.shown(registry.path_of("datasets", self.name))
        return bibliography.entry("datasets", self.cite, source)

    @property
    def scratch(self) -> Path:
        """The folder for intermediate files: that of :meth:`working_in`, or a temporary one."""
        return self._scratch or self._temporary

    @contextmanager
    def working_in(self, folder: Path) -> Iterator[None]:
        """Keep intermediate files in a folder, where the next process finds them after a kill."""
        before, self._scratch = self._scratch, folder
        try:
            yield
        finally:
            self._scratch = before

    @cached_property
    def _temporary(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="cvr-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def parts(self, raw: Path) -> Mapping[str, pl.LazyFrame]:
        """Return the table in named parts, which one after the other make it up.

        A part that was read whole is not read again after a kill; so an adapter of large files
        returns more than one here, and from :meth:`table` their concatenation, finished. Once all
        were read, this is not called again.
        """
        return {"rows": self.table(raw)}

    def notes(self, raw: Path) -> str:
        """Return what only the raw files tell of the claims, in full sentences; "" for nothing."""
        return ""

    def why_empty(self, raw: Path, counts: str) -> DataError:
        """Return the error that no row is left; ``counts`` tells how many each rule left out."""
        left_out = f"; left out were {counts}" if counts else ""
        return DataError(f"{self.title}: the files in {raw} give no row{left_out}")

    def finished(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Add what only all parts together tell to their concatenation, like splits by time."""
        return rows

    @abstractmethod
    def table(self, raw: Path) -> pl.LazyFrame:
        """Return all rows in a reproducible order: impressions, or clicks if there are no others.

        Columns: the raw values of ``categorical`` and ``numeric``, and of ``sequences`` as lists
        that end right before the row, the most recent value last; ``split`` ("train", "valid"
        or "test"); one Int8 column per label in ``stages`` (0, 1 or null); optional ``policy``
        ("log" if missing, or "random"), ``group`` (rows ranked together, for GAUC; null where a
        row belongs to none), and
        ``oracle_ctr``, ``oracle_cvr``, ``oracle_conversion``; and optionally, in one unit of time,
        ``click_time`` of every click and ``conversion_delay`` from it to its conversion, null
        where there is none within the attribution window: what comes later is no conversion;
        and, where the log publishes it, the Float64 ``propensity`` in (0, 1] with which the
        logging policy showed the row, null where it is unknown.

        Rows that are left out by a rule are counted, not forgotten: the optional String column
        ``dropped`` says by which rule ("conversion without click") and is null in all rows that
        stay. Nothing else is asked of such rows, so that dropped events of a log may be appended
        with ``pl.concat(..., how="diagonal")``. The counts end in ``report.json``.

        A label is null where it is unknown: all post-click labels of unclicked rows, and the
        click itself on randomised rows that were never offered for clicking.
        """


def kept(table: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows of an adapter's table that no rule drops."""
    if "dropped" not in table.collect_schema():
        return table
    return table.filter(pl.col("dropped").is_null()).drop("dropped")
