"""Layouts of text logs: how lines are parsed, and what is wrong with one that is not."""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.dataset import DataError

Types = Mapping[str, type[pl.DataType] | pl.DataType]
BLOCK = 4096  # lines that are parsed at once on the way to a fault
TAIL = 1 << 16  # bytes in which the last line is looked for
SHOWN = 100  # characters of a value
LISTED = 1000  # characters of a header
LONGEST = 1 << 20  # bytes of a first line
FOLDED = 1000  # lines that a quote may go over
TRUNCATED = (EOFError, zlib.error, gzip.BadGzipFile)


class Layout(ABC):
    """A way to write rows as lines."""

    header: bool = False
    last: str | None = None  # the column that is missing wherever a line has too few cells

    @abstractmethod
    def parse(self, lines: bytes) -> pl.DataFrame:
        """Return the rows of whole lines, or raise what polars raises."""

    @abstractmethod
    def complaint(self, line: bytes) -> str:
        """Say what is wrong with a line that cannot be parsed."""

    def short(self, lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
        """Yield the index of each line that has too few cells, and what to say of it."""
        yield from ()


@dataclass(frozen=True)
class Delimited(Layout):
    """Cells between separators, of declared columns; a cell is empty or one of the null values."""

    columns: Types
    separator: str
    quote: str | None
    null_values: tuple[str, ...]
    header: bool
    last: str | None = None

    def of(self, path: Path) -> Delimited:
        """Return the layout with all columns of a file, after a look at its first and last lines.

        Raises:
            DataError: it is empty, lacks a column or ends within its last line.
        """
        first = self._cells(_first_line(path))
        if self.header and (lacking := [name for name in self.columns if name not in first]):
            raise DataError(
                f"{path}, line 1: the header lacks {', '.join(lacking)}; it has {_listed(first)}"
            )
        names = first if self.header else list(self.columns)
        last = self._cells(self._last_record(path))
        for where, cells in {"line 1": first, "the last line": last}.items():
            if 0 < len(cells) < len(names):
                raise DataError(
                    f"{path}, {where}: {len(cells)} cells, expected {len(names)}, "
                    f"{_listed(names)}; if the file was cut off, get it again"
                )
        columns = {name: self.columns.get(name, pl.String) for name in names}
        return replace(self, columns=columns, last=names[-1] if len(names) > 1 else None)

    @property
    def options(self) -> dict[str, Any]:
        """What polars must be told, apart from the header."""
        return {
            "schema": dict(self.columns),
            "separator": self.separator,
            "quote_char": self.quote,
            "null_values": list(self.null_values) or None,
        }

    def parse(self, lines: bytes) -> pl.DataFrame:
        """See :meth:`Layout.parse`."""
        return pl.read_csv(lines, has_header=False, **self.options)

    def complaint(self, line: bytes) -> str:
        """See :meth:`Layout.complaint`."""
        try:
            text = dict.fromkeys(self.columns, pl.String)
            row = pl.read_csv(line, has_header=False, **{**self.options, "schema": text})
        except pl.exceptions.PolarsError:
            return self._miscounted(self._cells(line))
        for name, kind in self.columns.items():
            value = row[name].item()
            if value is not None and kind != pl.String and not _fits(value, kind):
                return f"{name} is {_short(value)}; it must be {_words(kind)}"
        return f"{_short(line.decode().rstrip())} is not {', '.join(self.columns)}"

    def short(self, lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
        """See :meth:`Layout.short`; a record in quotes may go over several lines."""
        separator = self.separator.encode()
        quote = (self.quote or "\n\n").encode()  # the latter is in no line
        record: list[bytes] = []
        is_open = False  # in quotes
        for index, line in enumerate(lines):
            if not record and quote not in line and line.count(separator) >= len(self.columns) - 1:
                continue
            record.append(line)
            is_open ^= bool(line.count(quote) % 2)
            if is_open and len(record) < FOLDED:
                continue
            cells = self._cells(b"".join(record))
            if len(cells) < len(self.columns):
                words = self._miscounted(cells) if cells else "it is empty; delete it"
                yield index + 1 - len(record), words
            record, is_open = [], False

    def _miscounted(self, cells: list[str]) -> str:
        return f"{len(cells)} cells, expected {len(self.columns)}: {', '.join(self.columns)}"

    def _last_record(self, path: Path) -> bytes:
        """Return the last line; nothing if it may be only the rest of a record, in quotes."""
        line = _last_line(path)
        return b"" if self.quote is not None and self.quote.encode() in line else line

    def _cells(self, line: bytes) -> list[str]:
        text = line.decode("utf-8-sig", errors="replace").rstrip("\r\n")
        if self.quote is None or self.quote not in text:
            return text.split(self.separator) if text else []
        try:
            return next(csv.reader([text], delimiter=self.separator, quotechar=self.quote))
        except csv.Error:  # a carriage return behind a quote, which to polars is text
            return text.split(self.separator)


@dataclass(frozen=True)
class JsonLines(Layout):
    """One JSON object per line."""

    schema: dict[str, Any]

    @classmethod
    def of(cls, path: Path, schema: Types) -> JsonLines:
        """Return the layout of a file.

        Raises:
            DataError: it is empty.
        """
        _first_line(path)
        return cls(dict(schema))

    def parse(self, lines: bytes) -> pl.DataFrame:
        """See :meth:`Layout.parse`."""
        return pl.read_ndjson(lines, schema=self.schema)

    def complaint(self, line: bytes) -> str:
        """See :meth:`Layout.complaint`."""
        try:
            self.parse(line)
        except pl.exceptions.PolarsError as error:
            reason = str(error).splitlines()[0]
            return f"{reason}; the line must be an object with {', '.join(self.schema)}"
        return "no object"


@dataclass(frozen=True)
class Rule:
    """What must hold in a row, and what to show of one where it does not."""

    obeyed: pl.Expr
    shown: pl.Expr


Rules = Mapping[str, pl.Expr | Rule]


@dataclass
class Scan:
    """A file that is read with a layout, and what must hold in its rows, by its wording."""

    path: Path
    layout: Layout
    rules: Mapping[str, Rule]
    is_complete: bool | None = None  # whether all lines have all cells; None: nobody looked

    def lacks_cells(self, last: pl.Series) -> bool:
        """Return whether a line of the file is short, once some values of its last column are read.

        Polars fills short lines up with nulls. So where the last column has one, the file is gone
        through, once, to see whether its lines are whole.
        """
        if self.is_complete is None and last.has_nulls():
            self.is_complete = True  # for other threads, which need not look as well
            self.is_complete = self.first_short_line() is None
        return self.is_complete is False

    def first_short_line(self) -> str | None:
        """Return a sentence about the first line that has too few cells, if any has."""
        with opened(self.path) as stream:
            for index, words in self.layout.short(stream):
                return f"{self.path}, line {index + 1}: {words}"
        return None

    def first_fault(self) -> str | None:
        """Return a sentence about the first thing that is wrong in the file, if any is.

        Lines that are short are told first: what they lack breaks rules.
        """
        number = 1
        try:
            if short := self.first_short_line():
                return short
            with opened(self.path) as stream:
                if self.layout.header:
                    stream.readline()
                    number += 1
                for block in _blocks(stream):
                    if fault := self._fault(block, number):
                        return fault
                    number += len(block)
        except TRUNCATED:
            return f"{self.path} ends within line {number} or soon after; get it again"
        return None

    def _fault(self, block: list[bytes], start: int) -> str | None:
        try:
            rows = self.layout.parse(b"".join(block))
        except pl.exceptions.PolarsError:
            return self._unparsed(block, start)
        for words, rule in self.rules.items():
            broken = rows.with_row_index("number of the line", start).filter(
                ~rule.obeyed.fill_null(value=False)
            )
            for line, *values in (
                broken.select("number of the line", rule.shown).head(1).iter_rows()
            ):
                shown = zip(broken.select(rule.shown).columns, values, strict=True)
                told = ", ".join(f"{name} is {_short(value)}" for name, value in shown)
                return f"{self.path}, line {line}: {told}; {words}"
        return None

    def _unparsed(self, block: list[bytes], start: int) -> str | None:
        for number, line in enumerate(block, start):
            try:
                line.decode()
                self.layout.parse(line)
            except UnicodeDecodeError as error:
                byte = f"byte {error.start + 1} is {line[error.start]:#04x}"
                return f"{self.path}, line {number}: {byte}, which is not UTF-8"
            except pl.exceptions.PolarsError:
                return f"{self.path}, line {number}: {self.layout.complaint(line)}"
        return None


def opened(path: Path) -> BufferedIOBase:
    """Open a file for reading, unpacking ``.gz``."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _blocks(stream: BufferedIOBase) -> Iterator[list[bytes]]:
    while block := list(islice(stream, BLOCK)):
        yield block


def _first_line(path: Path) -> bytes:
    try:
        with opened(path) as stream:
            line = stream.readline(LONGEST + 1)
    except TRUNCATED as error:
        raise DataError(f"{path} is damaged: {error}; get it again") from error
    if len(line) > LONGEST:
        raise DataError(f"{path}, line 1: it is longer than {LONGEST:,} bytes; is it a text log?")
    if not line.strip():
        raise DataError(f"{path} is empty, or its first line is; get it again")
    return line


def _last_line(path: Path) -> bytes:
    """Return the last line of a plain file if it is short, else nothing."""
    if path.suffix == ".gz":
        return b""
    with path.open("rb") as stream:
        stream.seek(-min(TAIL, path.stat().st_size), os.SEEK_END)
        *_, line = b"", *stream.read().splitlines()
    return line if len(line) < TAIL else b""


def _listed(names: Iterable[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= LISTED else f"{text[:LISTED]}..."


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _words(kind: Any) -> str:
    """Return what values of a type are, in the words of a reader of the log."""
    if kind.is_integer() and kind != pl.Int64:
        least, most = pl.select(kind.min().alias("least"), kind.max().alias("most")).row(0)
        return f"a whole number from {least} to {most}"
    if kind.is_integer():
        return "a whole number"
    return "a number" if kind.is_float() else str(kind)


def _fits(value: str, kind: Any) -> bool:
    return pl.Series([value]).cast(kind, strict=False).null_count() == 0
