"""The records of the benchmark or of a study as one file that can be published, and back.

The folder of runs is not in Git; the file is. Restored records are used as if they had been made
here: their keys tell whether they are of the present code, data and protocol, and their digests
whether they are what was written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from benchmark import parquet
from benchmark.files import DamagedError, read_json, replacing, write_text
from benchmark.schema import Schema
from benchmark.sealing import DIGEST, is_sealed, read_sealed, read_whole
from benchmark.studies import Workspace, first_splits

FILE, SCHEMA, TASK = "records.parquet", "schema.json", "task.json"
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


def restore(workspace: Workspace) -> tuple[int, list[Path]]:
    """Write the records of the file that are not there whole into the folder of runs.

    A task's folder that belongs to other code, data or protocol is left as it is. Returns how many
    records were written, and which folders were left.

    Raises:
        DamagedError: it is no whole archive of records, or a record was edited; nothing is written.
        FileNotFoundError: there is no such file.
    """
    source = workspace.results / FILE
    if not source.is_file():
        raise FileNotFoundError(f"{source} is not there: no records were published")
    tasks = dict[Path, dict[Path, str]]()
    for name, text in _records(source):
        target = workspace.runs / name
        _check(source, target, text, workspace.runs)
        tasks.setdefault(_task_of(target, workspace.runs), {})[target] = text
    left = [folder for folder, records in tasks.items() if _is_of_another(folder, records)]
    written = 0
    for folder in tasks.keys() - left:
        if folder != workspace.runs and not _is_there(folder / TASK):
            shutil.rmtree(folder, ignore_errors=True)  # whose fits these are is not known
        missing = [target for target in tasks[folder] if not _is_there(target)]
        for target in sorted(missing, key=lambda target: target.name != TASK):
            write_text(target, tasks[folder][target])
        written += len(missing)
    return written, sorted(left)


def _records(source: Path) -> Iterable[tuple[str, str]]:
    """Return the paths in an archive, and the records."""
    try:
        rows = parquet.read(source)
    except pl.exceptions.PolarsError as error:
        raise DamagedError(f"{source} is no whole Parquet file; {AGAIN}") from error
    named = list(rows.schema.items()) == list(COLUMNS.items())
    if not named or rows.null_count().sum_horizontal().item():
        what = "no archive of records, with a path and a text each"
        raise DamagedError(f"{source} is {what}; {AGAIN}")
    return rows.iter_rows()


def _check(source: Path, target: Path, text: str, runs: Path) -> None:
    """Make sure that a record belongs below the folder of runs, and is what was written."""
    if not target.resolve().is_relative_to(runs.resolve()):
        raise DamagedError(f"{source}: the path {str(target)!r} leads out of {runs}")
    name = target.relative_to(runs)
    if target.suffix != ".json" or any(part.endswith(".json") for part in name.parts[:-1]):
        raise DamagedError(f"{source}: {name} is the path of no record; {AGAIN}")
    if not _is_whole(target, text):
        raise DamagedError(f"{source}: the record {name} is not what was written; {AGAIN}")


def _task_of(target: Path, runs: Path) -> Path:
    """Return the folder of a record's task; of a schema, that of all runs."""
    parts = target.relative_to(runs).parts
    return runs.joinpath(*parts[:2]) if len(parts) > 2 else runs


def _is_of_another(folder: Path, records: Mapping[Path, str]) -> bool:
    """Tell whether there is a task in a folder, and another one in the archive."""
    here, text = read_sealed(folder / TASK), records.get(folder / TASK)
    return here is not None and text is not None and here["key"] != json.loads(text)["key"]


def _is_whole(target: Path, text: str) -> bool:
    try:
        if target.name == SCHEMA:
            return bool(Schema.model_validate_json(text))
        return is_sealed(json.loads(text))
    except ValueError:
        return False


def _is_there(target: Path) -> bool:
    return target.is_file() and _is_whole(target, target.read_text(encoding="utf-8"))


def outcomes(runs: Path) -> dict[str, Any]:
    """Return what a folder of runs has on record, by path, but for how long the fits took.

    Two runs found the same if their outcomes are equal. Digests are left out with the seconds,
    which they depend on.

    Raises:
        DamagedError: a file is no whole JSON, or a record is not what was written.
    """
    records = {}
    for path in sorted(runs.rglob("*.json")):
        record = read_json(path) if path.name == SCHEMA else _without_incidentals(read_whole(path))
        records[path.relative_to(runs).as_posix()] = record
    return records


def _without_incidentals(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in record if name not in INCIDENTAL}
