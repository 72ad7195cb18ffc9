"""Which columns of a file are the user, the item, the time, the click and the conversion."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmark.data.reading.readers import first_rows
from benchmark.errors import did_you_mean

SAMPLE = 10_000  # rows that are looked at
SEPARATORS = ",\t;|"
FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%S%.fZ",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m-%d",
)
# Names in lower case, letters and digits alone, without "is", "has" or "id" around them.
NAMES: Mapping[str, Sequence[str]] = {
    "user": ("user", "u", "visitor", "customer", "member", "client", "viewer", "person"),
    "item": (
        "item", "i", "product", "sku", "article", "ad", "goods", "video", "listing", "hotel",
        "creative",
    ),
    "time": (
        "time", "timestamp", "ts", "datetime", "date", "eventtime", "requesttime", "shownat",
        "impressiontime", "impressiontimestamp", "createdat", "occurredat",
    ),
    "click": ("click", "clicked", "clicks", "clk", "clicklabel", "labelclick"),
    "conversion": (
        "conversion", "converted", "conversions", "conv", "cv", "purchase", "purchased", "buy",
        "bought", "order", "ordered", "sale", "sold", "booking", "booked", "conversionlabel",
    ),
}  # fmt: skip
LABELS = ("click", "conversion")


@dataclass(frozen=True)
class Columns:
    """The columns of a file: the names in ``roles`` by role, with all types and the other names.

    ``time_format`` is that of a time in text. ``missing`` has a sentence on each role without a
    column.
    """

    separator: str
    header: tuple[str, ...]
    types: Mapping[str, pl.DataType]
    roles: Mapping[str, str]
    time_format: str | None
    missing: tuple[str, ...]

    @property
    def others(self) -> tuple[str, ...]:
        """The columns that have no role."""
        return tuple(name for name in self.header if name not in self.roles.values())

    @property
    def split(self) -> str:
        """How the adapter splits the rows, in words."""
        if "time" in self.roles:
            return "by time, the last rows are the test split"
        unit = "users" if "user" in self.roles else "rows"
        return f"{unit} at random, as no column is the time; a split by time is more realistic"


def match(path: Path, assigned: Sequence[str] = ()) -> Columns:
    """Match the columns of a file by their names, unless ``ROLE=NAME`` assigns one to a role.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no table with a header whose names are printable and differ, has no
            click, no conversion, or neither user nor item; two columns may be the same; a label
            is empty or has other values than 0 and 1; or what is assigned is no role or no column.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; name a CSV file with a header")
    sample, separator = _sample(path)
    given = dict(_assignment(text, sample.columns, path) for text in assigned)
    others = [name for name in sample.columns if name not in given.values()]
    roles = {
        role: name for role in NAMES if (name := given.get(role) or _column(others, role, path))
    }
    for label in LABELS:
        if label not in roles:
            raise ValueError(f"{path}: {_missing(label)}; {_choose(label, sample)}")
        _check_label(sample[roles[label]], path)
    if not {"user", "item"} & {*roles}:
        raise ValueError(
            f"{path}: no column is named as a user or an item, such as user_id or item_id; "
            f"{_choose('user', sample)}"
        )
    time_format, unread = None, []
    if "time" in roles and sample[roles["time"]].dtype == pl.String:
        time_format = _format(sample[roles["time"]])
        if time_format is None:
            example = next(iter(sample[roles["time"]].drop_nulls()), None)
            unread = [f"{roles['time']} is in no known format of a time: {example!r}"]
    missing = [_missing(role) for role in ("user", "item", "time") if role not in roles]
    if unread:
        del roles["time"]
    return Columns(
        separator=separator,
        header=tuple(sample.columns),
        types=dict(sample.schema),
        roles=roles,
        time_format=time_format,
        missing=(*missing, *unread),
    )


def _sample(path: Path) -> tuple[pl.DataFrame, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = max(SEPARATORS, key=file.readline().count)
            file.seek(0)
            _check_header(next(csv.reader(file, delimiter=separator), []), path)
        sample = first_rows(path, separator, SAMPLE)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no text in UTF-8: save it as UTF-8, or unpack it if it is an archive"
        ) from error
    except (pl.exceptions.PolarsError, csv.Error) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} cannot be read as a CSV file: {reason}") from error
    if sample.is_empty():
        raise ValueError(f"{path} holds no rows below its header")
    return sample, separator


def _check_header(names: Sequence[str], path: Path) -> None:
    """Make sure that the names are told apart, and can be written into an adapter."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{path}: the header has {count} columns {name!r}; rename all but one")
        if not name.isprintable() or '"' in name:
            raise ValueError(
                f"{path}: the column name {name!r} holds a quote, a line break or a character that "
                "cannot be printed; rename it"
            )


def _assignment(text: str, header: Sequence[str], path: Path) -> tuple[str, str]:
    """Return the role and the column of ``ROLE=NAME``."""
    role, equals, name = text.partition("=")
    if not equals or role not in NAMES:
        raise ValueError(
            f"--column {text}: it must be ROLE=NAME, where ROLE is one of {', '.join(NAMES)}"
        )
    if name not in header:
        hint = did_you_mean(name, header)
        raise ValueError(f"--column {text}: {path} has no column {name!r}; {hint}")
    return role, name


def _column(header: Sequence[str], role: str, path: Path) -> str | None:
    """Return the column of a role, the one whose name comes first in ``NAMES``."""
    matched = [name for name in header if _plain(name) in NAMES[role]]
    if len(matched) > 1:
        raise ValueError(
            f"{path}: {' and '.join(matched)} may each be the {role}; choose one, as by "
            f'`--column "{role}={matched[0]}"`'
        )
    return matched[0] if matched else None


def _plain(name: str) -> str:
    """Return a name without case, separators and what tells no role."""
    letters = "".join(filter(str.isalnum, name.casefold()))
    for prefix in ("is", "has"):
        if letters.removeprefix(prefix) in (*NAMES["click"], *NAMES["conversion"]):
            return letters.removeprefix(prefix)
    short = letters.removesuffix("id")
    return short if short in (*NAMES["user"], *NAMES["item"]) else letters


def _check_label(values: pl.Series, path: Path) -> None:
    wrong = values.drop_nulls()
    if wrong.is_empty():
        raise ValueError(
            f"{path}: column {values.name} is empty in the first {len(values):,} rows; fill it, or "
            "put rows with a value first"
        )
    if values.dtype != pl.Boolean:
        is_label = (wrong == 0) | (wrong == 1) if values.dtype.is_numeric() else wrong.is_null()
        wrong = wrong.filter(~is_label)
        for value in wrong.head(1):
            raise ValueError(
                f"{path}: column {values.name} holds {value!r}; it must hold 0 and 1, or true and "
                "false"
            )


def _format(times: pl.Series) -> str | None:
    for known in FORMATS:
        if times.drop_nulls().str.to_datetime(known, strict=False).is_not_null().all():
            return known
    return None


def _missing(role: str) -> str:
    return f"no column is named as the {role}, such as {', '.join(NAMES[role][:3])}"


def _choose(role: str, sample: pl.DataFrame) -> str:
    return f"choose one by `--column {role}=NAME` from {', '.join(sample.columns)}"
