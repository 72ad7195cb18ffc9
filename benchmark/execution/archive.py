"""The records of the benchmark or of a study as one file that can be published, and back.

The folder of runs is not in Git; the file is. Restored records are used as if they had been made
here: their keys tell whether they are of the present code, data and protocol, and their digests
whether they are what was written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from benchmark import parquet
from benchmark.files import DamagedError, read_json, replacing, write_text
from benchmark.sealing import DIGEST, is_sealed, read_sealed
from benchmark.studies import Workspace, first_splits

FILE, SCHEMA = "records.parquet", "schema.json"
COLUMNS = {"path": pl.String(), "record": pl.String()}
AGAIN = "take it from the repository or the release again"
# Of a record: they say nothing about its numbers.
INCIDENTAL = frozenset({"seconds", "clock", DIGEST})


def pack(workspace: Workspace) -> Path:
    """Write all records into one file, a row each, and return its path.

    The schema of each setting's data goes with them, so that they can be read without the data.
    """
    paths = {path.relative_to(workspace.runs): path for path in workspace.runs.rglob("*.json")}
    for setting in workspace.settings():
        schema = first_splits(setting.processed) / SCHEMA
        if (workspace.runs / setting.name).is_dir() and schema.is_file():
            paths[Path(setting.name, SCHEMA)] = schema
    rows = {
        "path": [name.as_posix() for name in sorted(paths)],
        "record": [paths[name].read_text(encoding="utf-8") for name in sorted(paths)],
    }
    target = workspace.results / FILE
    with replacing(target) as temporary:
        frame = pl.DataFrame(rows, schema=COLUMNS)
        frame.write_parquet(temporary, compression="zstd", compression_level=19)
    return target


def restore(workspace: Workspace) -> int:
    """Write the records of the file that are not there whole into the folder of runs.

    Returns how many.

    Raises:
        DamagedError: it is no whole archive of records, or a record was edited; nothing is written.
        FileNotFoundError: there is no such file.
    """
    source = workspace.results / FILE
    if not source.is_file():
        raise FileNotFoundError(f"{source} is not there: no records were published")
    records = {workspace.runs / name: text for name, text in _records(source)}
    runs = workspace.runs.resolve()
    for target, text in records.items():
        if not target.resolve().is_relative_to(runs):
            raise DamagedError(f"{source}: the path {str(target)!r} leads out of {workspace.runs}")
        if target.name != SCHEMA and not _is_sealed(text):
            name = target.relative_to(workspace.runs)
            raise DamagedError(f"{source}: the record {name} is not what was written; {AGAIN}")
    missing = [target for target in records if not _is_there(target)]
    for target in missing:
        write_text(target, records[target])
    return len(missing)


def _records(source: Path) -> Iterable[tuple[str, str]]:
    """Return the paths in an archive, and the records."""
    try:
        rows = parquet.read(source)
    except pl.exceptions.PolarsError as error:
        raise DamagedError(f"{source} is no whole Parquet file; {AGAIN}") from error
    if (
        list(rows.schema.items()) != list(COLUMNS.items())
        or rows.null_count().sum_horizontal().item()
    ):
        raise DamagedError(
            f"{source} is no archive of records, with a path and a text each; {AGAIN}"
        )
    return rows.iter_rows()


def _is_sealed(text: str) -> bool:
    try:
        return is_sealed(json.loads(text))
    except ValueError:
        return False


def _is_there(target: Path) -> bool:
    """Tell whether a file is there, whole if it is a record."""
    if target.name == SCHEMA:
        return target.is_file()
    return read_sealed(target) is not None


def outcomes(runs: Path) -> dict[str, Any]:
    """Return what a folder of runs has on record, by path, but for how long the fits took.

    Two runs found the same if their outcomes are equal. Digests are left out with the seconds,
    which they depend on.

    Raises:
        DamagedError: a file is no whole JSON, or a record is not what was written.
    """
    records = {}
    for path in sorted(runs.rglob("*.json")):
        record = read_json(path)
        if path.name != SCHEMA:
            if not is_sealed(record):
                raise DamagedError(f"{path} is not what was written; delete it")
            record = {name: record[name] for name in record if name not in INCIDENTAL}
        records[path.relative_to(runs).as_posix()] = record
    return records
