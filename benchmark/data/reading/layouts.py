"""Layouts of text logs: how lines are parsed, and what is wrong with one that is not."""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from abc import ABC, abstractmethod
from bisect import bisect_left
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from benchmark.data.dataset import DataError

Types = Mapping[str, type[pl.DataType] | pl.DataType]
BLOCK = 4096  # lines that are parsed at once on the way to a fault
TAIL = 1 << 16  # bytes in which the last line is looked for
ENDING = 64  # bytes in which the last quote is looked for
PIECE = 1 << 20  # bytes that are read at once
SHOWN = 100  # characters of a value
LISTED = 1000  # characters of a header
LONGEST = 1 << 20  # bytes of a first line
FOLDED = 1000  # lines that a quote may go over
# What polars raises; it panics on some quotes that are left open.
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
TRUNCATED = (EOFError, zlib.error, gzip.BadGzipFile)


class Layout(ABC):
    """A way to write rows as records, of a line each unless a quote goes over several."""

    header: bool = False
    quote: str | None
    last: str | None = None  # the column that is missing wherever a record has too few cells

    @abstractmethod
    def parse(self, records: bytes) -> pl.DataFrame:
        """Return the rows of whole records, or raise what polars raises."""

    @abstractmethod
    def complaint(self, record: bytes) -> str:
        """Say what is wrong with a record that cannot be parsed."""

    def miscount(self, record: bytes) -> str | None:
        """Say that a record has too few cells or too many, if it has."""
        return None

    def records(self, lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
        """Yield the records, each with the number of its first line, from 1.

        As polars has it, a line ends no record if a quote is open, wherever in a cell it stands.
        """
        if self.quote is None:
            yield from enumerate(lines, 1)
            return
        quote, record, is_open, first = self.quote.encode(), list[bytes](), False, 1
        for number, line in enumerate(lines, 1):
            is_open ^= bool(line.count(quote) % 2)
            record.append(line)
            if not is_open or len(record) == FOLDED:
                yield first, b"".join(record)
                record, is_open, first = [], False, number + 1
        if record:
            yield first, b"".join(record)


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
                f"{path}, line 1: the header lacks {', '.join(lacking)}; it has {listed(first)}"
            )
        names = first if self.header else list(self.columns)
        columns = {name: self.columns.get(name, pl.String) for name in names}
        full = replace(self, columns=columns, last=names[-1] if len(names) > 1 else None)
        ends = {"line 1": _first_line(path), "the last line": self._tail(path)}
        for where, record in ends.items():
            cells = len(self._cells(record))
            is_open = not record.endswith(b"\n")  # then polars drops a last cell that is empty
            if cells and (cells < len(names) or is_open) and (words := full.miscount(record)):
                raise DataError(f"{path}, {where}: {words}; if the file was cut off, get it again")
        self._refuse_open_quote(path)
        return full

    def _refuse_open_quote(self, path: Path) -> None:
        """Refuse a file whose last cell is an open quote alone: polars panics or hangs."""
        if self.quote is None:
            return
        cell, end = self.quote.encode(), _ending(path)
        before = (self.separator.encode(), b"\n", b"\r")
        if end != cell and not end.endswith(tuple(mark + cell for mark in before)):
            return
        if sum(piece.count(cell) for piece in _pieces(path)) % 2:
            raise DataError(f"{path}, the last line: its last quote is open; get it again")

    @property
    def options(self) -> dict[str, Any]:
        """What polars must be told, apart from the header."""
        return {
            "schema": dict(self.columns),
            "separator": self.separator,
            "quote_char": self.quote,
            # a cell in quotes may be empty as well; without quotes, an empty one is null anyway
            "null_values": [*self.null_values, *([""] if self.quote else [])] or None,
        }

    def parse(self, records: bytes) -> pl.DataFrame:
        """See :meth:`Layout.parse`."""
        return pl.read_csv(records, has_header=False, **self.options)

    def complaint(self, record: bytes) -> str:
        """See :meth:`Layout.complaint`."""
        if (count := self._counted(record)) is None:
            return f"{_short(record.decode())} has an open quote, or one inside a cell"
        if count != len(self.columns):
            return self._miscounted(count)
        row = self._text(record, list(self.columns))
        for name, kind in self.columns.items():
            value = row[name].item()
            if value is not None and kind != pl.String and not _fits(value, kind):
                return f"{name} is {_short(value)}; it must be {_words(kind)}"
        return f"{_short(record.decode().rstrip())} is not {', '.join(self.columns)}"

    def miscount(self, record: bytes) -> str | None:
        """See :meth:`Layout.miscount`."""
        expected = len(self.columns)
        is_quoted = self.quote is not None and self.quote.encode() in record
        if not is_quoted and record.count(self.separator.encode()) == expected - 1:
            return None
        if not (cells := len(self._cells(record))):
            return "it is empty; delete it"
        if cells == expected or (count := self._counted(record)) in (expected, None):
            return None
        return self._miscounted(count)

    def _counted(self, record: bytes) -> int | None:
        """Return how many cells polars finds: into fewer columns it refuses to read the record.

        None if it reads it into no columns at all, and so finds the quotes wrong.
        """
        line = record.rstrip(b"\r\n") + b"\n"
        counts = range(1, record.count(self.separator.encode()) + 2)
        place = bisect_left(counts, x=True, key=partial(self._reads_into, line))
        return counts[place] if place < len(counts) else None

    def _reads_into(self, record: bytes, count: int) -> bool:
        """Return whether polars reads a record as one row of so many columns."""
        try:
            return len(self._text(record, [str(number) for number in range(count)])) == 1
        except UNREADABLE:
            return False

    def _text(self, record: bytes, names: list[str]) -> pl.DataFrame:
        options = {**self.options, "schema": dict.fromkeys(names, pl.String)}
        return pl.read_csv(record, has_header=False, missing_columns="insert", **options)

    def _miscounted(self, cells: int) -> str:
        return f"{cells} cells, expected {len(self.columns)}: {listed(self.columns)}"

    def _tail(self, path: Path) -> bytes:
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
    quote = None

    @classmethod
    def of(cls, path: Path, schema: Types) -> JsonLines:
        """Return the layout of a file.

        Raises:
            DataError: it is empty.
        """
        _first_line(path)
        return cls(dict(schema))

    def parse(self, records: bytes) -> pl.DataFrame:
        """See :meth:`Layout.parse`."""
        return pl.read_ndjson(records.removeprefix(BOM_UTF8), schema=self.schema)

    def complaint(self, record: bytes) -> str:
        """See :meth:`Layout.complaint`."""
        try:
            self.parse(record)
        except UNREADABLE as error:
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
    has_nulls: bool | None = None  # in the last column of what was read; None: nothing was

    def note_nulls(self, last: pl.Series) -> None:
        """Remember whether the last column has a null: polars fills short records up with them."""
        self.has_nulls = self.has_nulls or last.has_nulls()

    def first_miscount(self) -> str | None:
        """Return a sentence about the first record that has too few cells or too many."""
        with opened(self.path) as stream:
            for number, record in self.layout.records(stream):
                if words := self.layout.miscount(record):
                    return f"{self.path}, line {number}: {words}"
        return None

    def first_fault(self) -> str | None:
        """Return a sentence about the first thing that is wrong in the file, if any is.

        Records of another length are told first: what they lack, or shift, breaks rules.
        """
        number = 1
        try:
            if words := self.first_miscount():
                return words
            with opened(self.path) as stream:
                records = islice(self.layout.records(stream), int(self.layout.header), None)
                while block := list(islice(records, BLOCK)):
                    number, _ = block[0]
                    if fault := self._fault(block):
                        return fault
        except TRUNCATED:
            return f"{self.path} ends within line {number} or soon after; get it again"
        return None

    def _fault(self, block: list[tuple[int, bytes]]) -> str | None:
        numbers, records = zip(*block, strict=True)
        try:
            rows = self.layout.parse(b"".join(records))
        except UNREADABLE:
            return self._unparsed(block)
        if len(rows) != len(records):
            return None  # blank lines in JSON
        known = rows.with_columns(pl.Series("number of the line", numbers))
        for words, rule in self.rules.items():
            broken = known.filter(~rule.obeyed.fill_null(value=False)).head(1)
            for line, *values in broken.select("number of the line", rule.shown).iter_rows():
                shown = zip(broken.select(rule.shown).columns, values, strict=True)
                values_shown = ", ".join(f"{name} is {_short(value)}" for name, value in shown)
                return f"{self.path}, line {line}: {values_shown}; {words}"
        return None

    def _unparsed(self, block: list[tuple[int, bytes]]) -> str | None:
        for number, record in block:
            try:
                record.decode()
                if len(self.layout.parse(record)) > 1:  # because of a quote inside a cell
                    return f"{self.path}, line {number}: {self.layout.complaint(record)}"
            except UnicodeDecodeError as error:
                byte = f"byte {error.start + 1} is {record[error.start]:#04x}"
                return f"{self.path}, line {number}: {byte}, which is not UTF-8"
            except UNREADABLE:
                return f"{self.path}, line {number}: {self.layout.complaint(record)}"
        return None


def opened(path: Path) -> BufferedIOBase:
    """Open a file for reading, unpacking ``.gz``."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def is_marked(path: Path) -> bool:
    """Return whether a file begins with a byte order mark."""
    with opened(path) as stream:
        return stream.read(len(BOM_UTF8)) == BOM_UTF8


def starts_with(path: Path, text: str) -> bool:
    """Return whether the first line of a file starts with a text, apart from a byte order mark."""
    return _first_line(path).removeprefix(BOM_UTF8).startswith(text.encode())


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
        *_, line = b"", *stream.read().splitlines(keepends=True)
    return line if len(line) < TAIL else b""


def _ending(path: Path) -> bytes:
    """Return the last bytes of a file's text, without the end of its last line.

    An archive is unpacked for them. Where it is cut off, reading it will tell.
    """
    end = b""
    if path.suffix == ".gz":
        with suppress(*TRUNCATED):
            for piece in _pieces(path):
                end = (end + piece)[-ENDING:]
    else:
        with path.open("rb") as stream:
            stream.seek(-min(ENDING, path.stat().st_size), os.SEEK_END)
            end = stream.read()
    return end.rstrip(b"\r\n")


def _pieces(path: Path) -> Iterator[bytes]:
    with opened(path) as stream:
        yield from iter(lambda: stream.read(PIECE), b"")


def listed(names: Iterable[str]) -> str:
    """Return names of a file for a message: in one line, and not too many."""
    text = ", ".join(name if name.isprintable() else repr(name) for name in names)
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
