"""The first version of an adapter and of its fixture, from the columns of a CSV file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import polars as pl

from benchmark.files import sha256, write_text
from benchmark.registry import ROOT
from benchmark.scaffold.columns import Columns, match
from benchmark.scaffold.files import class_of, new_path, placeholder, title_of

HERE = Path(__file__).parent
IDS = {"user": "user_id", "item": "item_id"}
START = "START = datetime(2020, 1, 1)"
SHARES = '{"train": 0.8, "valid": 0.1, "test": 0.1}'


@dataclass(frozen=True)
class Written:
    """The files written, and the columns from which they follow."""

    adapter: Path
    layout: Path
    columns: Columns


def create(name: str, csv: Path, assigned: Sequence[str] = ()) -> Written:
    """Write ``datasets/<name>.py`` and its fixture in ``tests/helpers/layouts/``.

    Each text ``ROLE=NAME`` in ``assigned`` says which column has a role.

    Raises:
        ValueError: the name, the file or an assignment cannot be used.
        FileExistsError: there is such a dataset or such a fixture.
        FileNotFoundError: there is no such CSV file.
    """
    adapter, layout = new_path("datasets", name), ROOT / "tests/helpers/layouts" / f"{name}.py"
    if layout.exists():
        raise FileExistsError(f"tests/helpers/layouts/{name}.py exists; choose another name")
    columns = match(csv, assigned)
    key = placeholder("datasets", title_of(name))
    write_text(adapter, _adapter(name, key, csv, columns))
    write_text(layout, _layout(name, csv, columns))
    return Written(adapter, layout, columns)


def _adapter(name: str, key: str, csv: Path, columns: Columns) -> str:
    roles = columns.roles
    timed = "time" in roles
    required = [role for role in ("user", "time") if role in roles]
    rules = {"user": _column(roles.get("user", "")), "time": "TIME"}
    selected = {IDS[role]: _text(roles[role]) for role in IDS if role in roles}
    if "user" in roles:
        selected["group"] = _text(roles["user"])
    if timed:
        selected["time"] = "TIME"
    elif "user" not in roles:
        selected["row"] = '"row"'
    by = '"user_id"' if "user" in roles else '"row"'
    return _filled(
        "dataset.py.txt",
        title=title_of(name),
        class_name=class_of(name),
        key=key,
        file=_text(csv.name),
        sha256=sha256(csv),
        size=f"{csv.stat().st_size:_}",
        separator="" if columns.separator == "," else f", separator={_text(columns.separator)}",
        types=_lines(4, (f"{_text(n)}: {_type(columns, r)}," for r, n in roles.items())),
        click=_label(columns, "click"),
        conversion=_label(columns, "conversion"),
        constants=_constants(columns),
        rules=_lines(4, (f'"the {r} must be given": {rules[r]}.is_not_null(),' for r in required)),
        features=_features(columns),
        with_index='.with_row_index("row")' if by == '"row"' and not timed else "",
        columns=_lines(12, (f"{new}={value}," for new, value in selected.items())),
        split_function="split_by_time" if timed else "split_by_hash",
        split='split_by_time(known, "time")'
        if timed
        else f"known.with_columns(split=split_by_hash(pl.col({by}).cast(pl.String), SHARES))",
    )


def _constants(columns: Columns) -> str:
    if "time" not in columns.roles:
        return f"SHARES = {SHARES}"
    time = _column(columns.roles["time"])
    if columns.time_format is None:
        return f"TIME = {time}"
    return f"TIME = {time}.str.to_datetime({_text(columns.time_format)}, strict=False)"


def _features(columns: Columns) -> str:
    """Return the declared features: ids alone, as other columns may be from after the click."""
    ids = ", ".join(f'"{IDS[role]}"' for role in IDS if role in columns.roles)
    ids += "," * (ids.count('"') == 2)
    todo = [f"# - {name}, as {_kind(columns.types[name])}" for name in columns.others if name]
    if todo:
        todo.insert(0, "# TODO add to TYPES, table and features what is known before the click:")
    return _lines(4, [f"categorical = ({ids})", "numeric = ()", *todo])


def _layout(name: str, csv: Path, columns: Columns) -> str:
    values = {"user": "rng.randint(1, 40)", "item": "rng.randint(1, 20)"}
    values |= {label: _written(columns, label) for label in ("click", "conversion")}
    imports = ["from pathlib import Path"]
    if "time" in columns.roles:
        values["time"] = "1_600_000_000 + 60 * number"
        if columns.time_format is not None:
            python = columns.time_format.replace("%.f", ".%f")
            values["time"] = f"(START + timedelta(minutes=number)).strftime({_text(python)})"
            imports = ["from datetime import datetime, timedelta", *imports]
            imports += ["", START]
    return _filled(
        "layout.py.txt",
        title=title_of(name),
        file=_text(csv.name),
        separator=_text(columns.separator),
        imports="\n".join([*imports, ""] if START not in imports else imports),
        header=_lines(4, (f"{_text(column)}," for column in columns.header)),
        number="number" if "time" in columns.roles else "_",
        values=_lines(16, (f"{_text(c)}: {values[role]}," for role, c in columns.roles.items())),
    )


def _filled(template: str, **values: str) -> str:
    """Return a template with its values; a line that is a placeholder for nothing is left out."""
    lines = (HERE / template).read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("$") or values[line[1:]]]
    return Template("\n".join(kept) + "\n").substitute(values)


def _type(columns: Columns, role: str) -> str:
    if role in IDS:
        return "pl.String"
    kind = columns.types[columns.roles[role]]
    if role == "time":
        return f"pl.{kind}"
    return "pl.Int8" if kind.is_integer() else f"pl.{kind}"


def _label(columns: Columns, label: str) -> str:
    name = columns.roles[label]
    return _column(name) + ".cast(pl.Int8)" * (columns.types[name] == pl.Boolean)


def _written(columns: Columns, label: str) -> str:
    """Return a label as the file has it."""
    kind = columns.types[columns.roles[label]]
    return f"str({label}).lower()" if kind == pl.Boolean else f"int({label})"


def _kind(kind: pl.DataType) -> str:
    return "numeric" if kind.is_float() else "categorical"


def _column(name: str) -> str:
    return f"pl.col({_text(name)})"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lines(indent: int, lines: Iterable[str]) -> str:
    return "\n".join(" " * indent + line for line in lines)
