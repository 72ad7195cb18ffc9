"""The records of the benchmark or of a study as one file that can be published, and back.

The folder of runs is not in Git; the file is. Restored records are used as if they had been made
here: their keys tell whether they are of the present code, data and protocol, and their digests
whether they are what was written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from benchmark import parquet
from benchmark.files import DamagedError, read_json, replacing, write_text
from benchmark.sealing import DIGEST, is_sealed
from benchmark.studies import Workspace, first_splits

FILE, SCHEMA = "records.parquet", "schema.json"
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
        pl.DataFrame(rows, schema={"path": pl.String, "record": pl.String}).write_parquet(
            temporary, compression="zstd", compression_level=19
        )
    return target


def restore(workspace: Workspace) -> int:
    """Write the records of the file that are not there into the folder of runs; return how many.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a path in it leads out of the folder.
    """
    source = workspace.results / FILE
    if not source.is_file():
        raise FileNotFoundError(f"{source} is not there: no records were published")
    rows = parquet.read(source)
    written = 0
    for name, record in rows.iter_rows():
        target = (workspace.runs / name).resolve()
        if not target.is_relative_to(workspace.runs.resolve()):
            raise ValueError(f"{source}: the path {name!r} leads out of {workspace.runs}")
        if not target.is_file():
            write_text(target, record)
            written += 1
    return written


def outcomes(runs: Path) -> dict[str, Any]:
    """Return what a folder of runs has on record, by path, but for how long the fits took.

    Two runs found the same if their outcomes are equal. The digest of a fit is left out with its
    seconds, which it depends on.

    Raises:
        DamagedError: a file is no whole JSON, or the record of a fit is not what was written.
    """
    records = {}
    for path in sorted(runs.rglob("*.json")):
        record = read_json(path)
        if "seconds" in record:
            if not is_sealed(record):
                raise DamagedError(f"{path} is not what was written; delete it")
            record = {name: record[name] for name in record if name not in INCIDENTAL}
        records[path.relative_to(runs).as_posix()] = record
    return records
