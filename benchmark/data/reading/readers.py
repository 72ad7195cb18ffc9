"""Strict, lazy readers of text logs; what they trip over is told with file, line and value.

A scan streams: nothing but the first and last lines is read until the table is collected, and
then in pieces. So a bad value is met late, by polars, which knows neither file nor line.
:func:`locate_read_errors`, which `preprocess` puts around an adapter, then goes through the scanned
files again, slowly, for the sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from glob import escape
from pathlib import Path

import numpy as np
import polars as pl

from benchmark.data.dataset import DataError
from benchmark.data.full_disk import is_full
from benchmark.data.reading.layouts import (
    TRUNCATED,
    UNREADABLE,
    Delimited,
    JsonLines,
    Layout,
    Rule,
    Rules,
    Scan,
    Types,
    is_marked,
)

_scans: ContextVar[list[Scan] | None] = ContextVar("scans", default=None)


class _BrokenRuleError(Exception):
    """A row breaks a rule; which one is found by :func:`locate_read_errors`."""


def scan_table(  # noqa: PLR0913
    path: Path,
    columns: Types,
    *,
    separator: str = ",",
    header: bool = True,
    null_values: Sequence[str] = (),
    quote: str | None = '"',
    rules: Rules | None = None,
) -> pl.LazyFrame:
    """Scan declared columns of delimited text, plain or ``.gz``; an empty cell is null.

    With a header, the file must have the columns, among others and in any order; without one,
    they are all of the file's, in order. ``rules`` are expressions that must hold in every row,
    by their wording ("label must be 0, 1 or 2"); null counts as broken. A broken one is told with
    the values of its columns, or with what a :class:`Rule` shows instead.

    Raises:
        DataError: now if the file is empty, lacks a column or ends within its last line; when
            collected inside :func:`locate_read_errors` if a value is not of its type, a line has
            too many cells or too few, a rule is broken, the text is not UTF-8 or the archive is
            truncated.
    """
    layout = Delimited(columns, separator, quote, tuple(null_values), header).of(path)
    frame = pl.scan_csv(path, has_header=header, glob=False, **layout.options)
    return _noted(frame, path, layout, rules or {}).select(list(columns))


def first_rows(path: Path, separator: str, rows: int) -> pl.DataFrame:
    """Return the first rows of delimited text with a header, whose types follow from them."""
    return pl.read_csv(path, separator=separator, n_rows=rows, infer_schema_length=rows, glob=False)


def scan_json_lines(path: Path, schema: Types, *, rules: Rules | None = None) -> pl.LazyFrame:
    """Scan the declared keys of a file of JSON objects, one per line, plain or ``.gz``.

    A key that an object lacks is null. For ``rules`` and errors see :func:`scan_table`.
    """
    layout = JsonLines.of(path, schema)
    if is_marked(path):  # which polars reads over in CSV only
        frame = _json_in_text(path, pl.Struct(schema))
    else:
        frame = pl.scan_ndjson(escape(str(path)), schema=dict(schema))  # it has no option glob
    return _noted(frame, path, layout, rules or {})


def _json_in_text(path: Path, kind: pl.Struct) -> pl.LazyFrame:
    """Scan JSON as a column of text, cut at what no JSON has, and parse that."""
    line = pl.scan_csv(
        path, has_header=False, schema={"line": pl.String}, separator="\x01", quote_char=None,
        glob=False,
    )  # fmt: skip
    return line.drop_nulls().select(pl.col("line").str.json_decode(kind)).unnest("line")


@contextmanager
def locate_read_errors(what: str) -> Iterator[None]:
    """Turn what a scan that is made and collected in the block trips over into one sentence.

    ``what`` names the data, for errors that no file explains. A full disk is none of them.

    Raises:
        DataError: with file, line, value and rule where they are found.
    """
    scans: list[Scan] = []
    token = _scans.set(scans)
    try:
        yield
        _refuse_short_records(scans)
    except (*UNREADABLE, *TRUNCATED, OSError, _BrokenRuleError) as error:
        if is_full(error):
            raise
        faults = (scan.first_fault() for scan in scans)
        if fault := next(filter(None, faults), None):
            raise DataError(fault) from error
        if isinstance(error, OSError):
            raise
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{what} cannot be read: {reason}") from error
    finally:
        _scans.reset(token)


def _refuse_short_records(scans: Sequence[Scan]) -> None:
    """Go once more through each file whose last column has nulls, or which a killed process read.

    This cannot be done while polars reads a file: what it waits for would wait for it.
    """
    suspects = {
        scan.path: scan for scan in scans if scan.layout.last and scan.has_nulls is not False
    }
    for scan in suspects.values():
        if fault := scan.first_miscount():
            raise DataError(fault)


def _noted(frame: pl.LazyFrame, path: Path, layout: Layout, rules: Rules) -> pl.LazyFrame:
    """Remember a scan, and note what its last column lacks, and let broken rules stop it."""
    full = {words: rule if isinstance(rule, Rule) else _rule(rule) for words, rule in rules.items()}
    scan = Scan(path, layout, full)
    if (scans := _scans.get()) is not None:
        scans.append(scan)
    if layout.last is not None:
        noted, record = partial(_note_nulls, scan, layout.last), pl.struct(pl.all())
        frame = frame.filter(
            record.map_batches(noted, return_dtype=pl.Boolean, is_elementwise=True)
        )
    if not full:
        return frame
    obeyed = pl.all_horizontal(rule.obeyed for rule in full.values()).fill_null(value=False)
    return frame.filter(obeyed.map_batches(_all_obey, return_dtype=pl.Boolean, is_elementwise=True))


def _rule(obeyed: pl.Expr) -> Rule:
    return Rule(obeyed, pl.col(dict.fromkeys(obeyed.meta.root_names())))


def _note_nulls(scan: Scan, last: str, records: pl.Series) -> pl.Series:
    """Let every record pass, all columns of which are read: only so does polars count cells."""
    scan.note_nulls(records.struct.field(last))
    return pl.Series(np.ones(len(records), np.bool_))


def _all_obey(obeyed: pl.Series) -> pl.Series:
    if not obeyed.all():
        raise _BrokenRuleError("a row breaks a rule")
    return obeyed
