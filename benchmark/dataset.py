"""All that an adapter in ``datasets/`` is written with, in one import.

An adapter is one subclass of :class:`Dataset`, or of :class:`EventLog` where a log has events
instead of impressions. It finds its raw files by :func:`find`, reads them by :func:`scan_table`,
:func:`scan_json_lines` or :func:`checked_parquet`, and splits their rows by :func:`split_by_time`,
:func:`split_at` or :func:`split_by_hash`. Where the end of a log matters, :func:`span` tells it,
whatever a few wild times say; :func:`seconds` and :func:`milliseconds` are the rules of a
reader that refuse the one for the other. Its options are a subclass of :class:`Options`, or of
:class:`EventOptions`, with bounds by :func:`Field`.
"""

from pydantic import Field

from benchmark.data.dataset import DataError, Dataset, Reported, Source
from benchmark.data.fetching.raw import find, find_all
from benchmark.data.options import History, Options, WindowDays
from benchmark.data.reading.attribution import split_at, split_by_time
from benchmark.data.reading.epoch import milliseconds, seconds
from benchmark.data.reading.event_log import EventLog, EventOptions, given
from benchmark.data.reading.history import with_clicked_before
from benchmark.data.reading.keys import unique
from benchmark.data.reading.parquet_files import (
    Kind,
    checked_parquet,
    locate_parquet_errors,
    same_types,
)
from benchmark.data.reading.readers import scan_json_lines, scan_table
from benchmark.data.reading.span import Span, span
from benchmark.data.split import split_by_hash

__all__ = [
    "DataError",
    "Dataset",
    "EventLog",
    "EventOptions",
    "Field",
    "History",
    "Kind",
    "Options",
    "Reported",
    "Source",
    "Span",
    "WindowDays",
    "checked_parquet",
    "find",
    "find_all",
    "given",
    "locate_parquet_errors",
    "milliseconds",
    "same_types",
    "scan_json_lines",
    "scan_table",
    "seconds",
    "span",
    "split_at",
    "split_by_hash",
    "split_by_time",
    "unique",
    "with_clicked_before",
]
